package server

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/files"
	"github.com/rondo-chat/rondo/chat/live"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/signaling"
)

const kindLive bus.Kind = "live" // chat/live's own

// Conversations is what a service with conversations is made of: drivers that are open already. It
// needs Accounts. Fields without a default are required.
type Conversations struct {
	Store      conversations.Store
	Cache      conversations.Cache     // default: none
	Moderator  conversations.Moderator // default: all passes
	Blobs      files.Blobs             // where uploads are kept; default: nothing can be uploaded
	Spool      string                  // folder where uploads are received; required with Blobs
	Sinks      []string                // who gets all events
	Limits     conversations.Limits
	Limiter    ratelimit.Limiter // default: in this process's memory
	Translator Translator        // default: nothing is translated
	PushKey    string            // what a sink signs notifications with, in base64url; default: there are none
	// Shown is live.Config's; default: nobody is told.
	Shown func(protocol.RoomID, protocol.ConvPresence)
}

// Translator reads messages out in another language.
type Translator interface {
	// Translate returns what it could translate. who is who asks, for quotas. Errors: bad_request (to is no language),
	// rate_limited, unavailable.
	Translate(ctx context.Context, who protocol.UserID, messages []protocol.ConvMessage, to string) ([]protocol.ConvTranslation, error)
}

// talks is the part of a Server that knows conversations.
type talks struct {
	*conversations.Conversations
	live       *live.Live
	translator Translator
	files      *files.Files // nil: nothing can be uploaded
}

// buildTalks makes the conversations, if there are to be any.
func (s *Server) buildTalks() (err error) {
	cfg := s.cfg.Conversations
	if cfg == nil {
		return nil
	}
	if s.people == nil {
		return errors.New("they need accounts")
	}
	t := &talks{translator: cfg.Translator}
	if t.live, err = live.New(live.Config{Node: s.node, Sessions: followers{s}, Notifier: notifier{s.bus, kindLive}, Shown: cfg.Shown, Logger: s.log, Registerer: s.cfg.Registerer}); err != nil {
		return err
	}
	var kept conversations.Files
	if cfg.Blobs != nil {
		kept = cfg.Blobs
	}
	if t.Conversations, err = conversations.New(conversations.Config{
		Store: cfg.Store, Cache: cfg.Cache, People: acquaintances{s}, Publisher: t.live, Moderator: cfg.Moderator, Files: kept, Sinks: cfg.Sinks,
		Limits: cfg.Limits, Limiter: cfg.Limiter, Node: s.node, Key: s.cfg.Signer.Key("conversation passcode"), Logger: s.log, Registerer: s.cfg.Registerer,
	}); err != nil {
		return err
	}
	if err := t.buildFiles(s, cfg); err != nil {
		return err
	}
	s.bus.Handle(kindLive, func(m bus.Message) { t.live.Receive(m.From, m.Payload) })
	s.talks = t
	return nil
}

// Conversations returns the conversations; nil if there are none.
func (s *Server) Conversations() *conversations.Conversations {
	if s.talks == nil {
		return nil
	}
	return s.talks.Conversations
}

// followers implements live.Sessions.
type followers struct{ s *Server }

// Push implements live.Sessions: what is pushed is encoded once.
func (f followers) Push(to iter.Seq[protocol.SessionID], p live.Push) {
	class := signaling.Ordered
	if p.Key != "" {
		class = signaling.Latest
	}
	var frame signaling.Frame
	made := false
	for id := range to {
		sess, ok := f.s.hub.Lookup(id)
		if !ok {
			continue
		}
		if !made {
			made = true
			frame = signaling.Prepare(signaling.Push{Type: p.Type, Room: p.Room, D: p.D, Class: class, Key: p.Key, Unstated: true})
		}
		sess.PushFrame(frame) // who has moved opens its conversations again
	}
}

// acquaintances is who conversations may be had with.
type acquaintances struct{ s *Server }

// Person implements conversations.People.
func (a acquaintances) Person(ctx context.Context, who string) (conversations.Person, error) {
	nobody := protocol.Errorf(protocol.CodeNotFound, "there is nobody of this name")
	if strings.Contains(who, "@") { // an address is nobody's business
		return conversations.Person{}, nobody
	}
	u, err := a.s.people.accounts.Find(ctx, who)
	switch code := protocol.CodeOf(err); {
	case code == protocol.CodeNotFound || code == protocol.CodeBadRequest:
		return conversations.Person{}, nobody
	case err != nil:
		return conversations.Person{}, err
	}
	return conversations.Person{ID: u.Identity, Name: u.Name}, nil
}

// Blocked implements conversations.People.
func (a acquaintances) Blocked(ctx context.Context, one, other protocol.UserID) (bool, error) {
	ex, err := a.s.cfg.Relations.Exclusions(ctx, one)
	return slices.Contains(ex.Hard, other), err
}

// renamed tells the conversations of a new name.
func (s *Server) renamed(id protocol.UserID, name string) {
	if s.talks == nil {
		return
	}
	s.background(func(ctx context.Context) {
		if err := s.talks.Renamed(ctx, id, name); err != nil && !errors.Is(err, context.Canceled) {
			s.log.Warn("a new name did not reach the conversations", "err", err)
		}
	})
}

// loggedOut ends the notifications of sessions that have ended.
func (s *Server) loggedOut(sessions []string) {
	if s.talks == nil {
		return
	}
	s.background(func(ctx context.Context) {
		if err := s.talks.LoggedOut(ctx, sessions); err != nil && !errors.Is(err, context.Canceled) {
			s.log.Warn("who has logged out may still get notifications", "err", err)
		}
	})
}

// exporting adds to what accounts export of a person what conversations know.
type exporting struct {
	*accounts.Accounts
	s *Server
}

// Export implements api.Accounts.
func (e exporting) Export(ctx context.Context, id protocol.UserID) (accounts.Export, error) {
	all, err := e.Accounts.Export(ctx, id)
	if err == nil && e.s.talks != nil {
		all.Chat, err = e.s.talks.Export(ctx, id)
	}
	return all, err
}

// caller is who a session acts for in conversations.
func caller(sess *signaling.Session) conversations.Caller {
	return conversations.Caller{Principal: principal(sess), Name: sess.User().Name}
}

func follower(sess *signaling.Session) live.Follower {
	return live.Follower{Session: sess.ID(), User: sess.User().ID, Guest: sess.User().Guest}
}

// asked makes a handler of a method of conversations that takes a d and gives one.
func asked[In, Out any](s *Server, method func(*conversations.Conversations, context.Context, conversations.Caller, protocol.RoomID, In) (Out, error)) serveFunc {
	return func(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
		var in In
		if err := m.Unmarshal(&in); err != nil {
			return nil, err
		}
		return method(s.talks.Conversations, ctx, caller(sess), m.Room, in)
	}
}

// convList answers with the list, and has the session follow what is on it.
func (s *Server) convList(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	var q protocol.ConvListQuery
	if err := m.Unmarshal(&q); err != nil {
		return nil, err
	}
	if q.Cursor == "" {
		if err := s.talks.live.FollowList(ctx, follower(sess)); err != nil {
			return nil, err
		}
	}
	list, err := s.talks.List(ctx, caller(sess), q)
	if err != nil {
		return nil, err
	}
	kinds := map[protocol.RoomID]protocol.ConvKind{}
	for _, e := range list.Entries {
		kinds[e.ID] = e.Kind
	}
	s.talks.live.Learn(ctx, kinds)
	return list, nil
}

// maxReopen is how often a conversation is read that changes faster than that.
const maxReopen = 3

// convOpen answers with the conversation, and has the session follow it from what it has read on.
func (s *Server) convOpen(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	var q protocol.ConvOpen
	if err := m.Unmarshal(&q); err != nil {
		return nil, err
	}
	for range maxReopen {
		opened, err := s.talks.Open(ctx, caller(sess), m.Room, q)
		if err != nil {
			return nil, err
		}
		here, ok, err := s.talks.live.Follow(ctx, follower(sess), readTo(opened))
		if err != nil {
			return nil, err
		}
		if ok {
			opened.Online, opened.Here = here.Online, here.Here
			return opened, nil
		}
	}
	return nil, &protocol.Error{Code: protocol.CodeUnavailable, Msg: "too much happens there: try again", Retry: 500 * time.Millisecond}
}

// readTo is the conversation with the Seq up to which the answer has all. A Sync that has more to come
// is asked for the rest by the client.
func readTo(o protocol.ConvOpened) protocol.Conversation {
	c := o.Conversation
	switch {
	case o.History != nil:
		c.Seq = min(c.Seq, o.History.Seq)
	case o.Sync != nil && !o.Sync.More && !o.Sync.Reset:
		c.Seq = min(c.Seq, o.Sync.Seq)
	}
	return c
}

func (s *Server) convClose(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	return nil, s.talks.live.Unfollow(ctx, sess.ID(), m.Room)
}

// convMark keeps how far the reader is, and tells who may know of it.
func (s *Server) convMark(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	var in protocol.ConvMark
	if err := m.Unmarshal(&in); err != nil {
		return nil, err
	}
	return s.mark(ctx, caller(sess), m.Room, in)
}

func (s *Server) mark(ctx context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvMark) (protocol.ConvMarked, error) {
	marked, err := s.talks.Conversations.Mark(ctx, who, room, in)
	if err != nil {
		return marked, err
	}
	kind := s.talks.live.Kind(ctx, room)
	if kind == "" {
		e, err := s.talks.Get(ctx, who, room)
		if err != nil {
			return marked, err
		}
		kind = e.Kind
		s.talks.live.Learn(ctx, map[protocol.RoomID]protocol.ConvKind{room: kind})
	}
	told := protocol.ConvMarked{User: who.Identity, Delivered: marked.Delivered, Read: marked.Read}
	s.talks.live.Mark(room, told, kind == protocol.ConvTopic)
	return marked, nil
}

// convTyping tells the others that somebody writes.
func (s *Server) convTyping(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	var in protocol.ConvTyping
	if err := m.Unmarshal(&in); err != nil {
		return nil, err
	}
	if !s.talks.live.MayType(ctx, follower(sess), m.Room, in.On) {
		return nil, nil
	}
	if err := s.talks.MayWrite(ctx, caller(sess), m.Room); err != nil {
		return nil, err
	}
	user := sess.User()
	s.talks.live.Type(m.Room, protocol.ConvTyping{On: in.On, User: user.ID, Name: user.Name})
	return nil, nil
}

// convTranslate answers with messages in another language.
func (s *Server) convTranslate(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	var in protocol.ConvTranslate
	if err := m.Unmarshal(&in); err != nil {
		return nil, err
	}
	return s.translate(ctx, caller(sess), m.Room, in)
}

func (s *Server) translate(ctx context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvTranslate) (protocol.ConvTranslated, error) {
	out := protocol.ConvTranslated{To: in.To, Texts: []protocol.ConvTranslation{}}
	switch n := len(in.Messages); {
	case s.talks.translator == nil:
		return out, protocol.Errorf(protocol.CodeUnavailable, "nothing is translated here")
	case n == 0 || n > protocol.MaxTranslateBatch:
		return out, protocol.Errorf(protocol.CodeBadRequest, "messages: 1 to %d", protocol.MaxTranslateBatch)
	}
	texts, err := s.talks.Texts(ctx, who, room, in.Messages)
	if err != nil {
		return out, err
	}
	done, err := s.talks.translator.Translate(ctx, who.Identity, texts, in.To)
	if err != nil {
		return out, fmt.Errorf("translate: %w", err)
	}
	out.Texts = append(out.Texts, done...)
	return out, nil
}

// talksObserver keeps up to date who follows beside what the observer does.
type talksObserver struct {
	signaling.Observer
	live *live.Live
}

// Away implements signaling.Observer.
func (o talksObserver) Away(sess *signaling.Session) {
	o.live.Away(sess.ID(), true)
	o.Observer.Away(sess)
}

// Back implements signaling.Observer.
func (o talksObserver) Back(sess *signaling.Session, fresh bool) {
	o.live.Away(sess.ID(), false)
	o.Observer.Back(sess, fresh)
}

// Moved implements signaling.Observer: the client opens its conversations again at the
// other node.
func (o talksObserver) Moved(sess *signaling.Session, to protocol.NodeID) {
	o.live.Forget(sess.ID())
	o.Observer.Moved(sess, to)
}

// Closed implements signaling.Observer.
func (o talksObserver) Closed(sess *signaling.Session, reason signaling.CloseReason) {
	o.live.Forget(sess.ID())
	o.Observer.Closed(sess, reason)
}

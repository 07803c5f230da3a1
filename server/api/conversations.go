package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// Conversations is what the handlers ask for; *conversations.Conversations is one. Who may do what
// it decides: a route's action only says who may ask at all.
type Conversations interface {
	Create(ctx context.Context, who conversations.Caller, in protocol.ConvCreate) (protocol.ConvEntry, error)
	Update(ctx context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvPatch) (protocol.Conversation, error)
	Remove(ctx context.Context, who conversations.Caller, room protocol.RoomID) error
	List(ctx context.Context, who conversations.Caller, q protocol.ConvListQuery) (protocol.ConvList, error)
	Directory(ctx context.Context, who conversations.Caller, q protocol.ConvDirectoryQuery) (protocol.ConvDirectory, error)
	Get(ctx context.Context, who conversations.Caller, room protocol.RoomID) (protocol.ConvEntry, error)
	Search(ctx context.Context, who conversations.Caller, q protocol.ConvSearchQuery) (protocol.ConvFound, error)

	Sync(ctx context.Context, who conversations.Caller, room protocol.RoomID, q protocol.ConvSyncQuery) (protocol.ConvSync, error)
	History(ctx context.Context, who conversations.Caller, room protocol.RoomID, q protocol.ConvHistoryQuery) (protocol.ConvHistory, error)
	Revisions(ctx context.Context, who conversations.Caller, room protocol.RoomID, seq uint64) ([]protocol.ConvRevision, error)
	Send(ctx context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvSend) (protocol.ConvSent, error)
	Edit(ctx context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvChange) (protocol.ConvSent, error)
	Delete(ctx context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvChange) (protocol.ConvSent, error)
	React(ctx context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvChange) (protocol.ConvSent, error)
	Pin(ctx context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvChange) (protocol.ConvSent, error)
	Mark(ctx context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvMark) (protocol.ConvMarked, error)

	Members(ctx context.Context, who conversations.Caller, room protocol.RoomID, cursor string, limit int) (protocol.ConvPeople, error)
	Join(ctx context.Context, who conversations.Caller, room protocol.RoomID, passcode string) (protocol.ConvEntry, error)
	Leave(ctx context.Context, who conversations.Caller, room protocol.RoomID) error
	Invite(ctx context.Context, who conversations.Caller, room protocol.RoomID, user string) (protocol.ConvPerson, error)
	SetRole(ctx context.Context, who conversations.Caller, room protocol.RoomID, user protocol.UserID, role protocol.ConvRole) (protocol.ConvPerson, error)

	Subscribe(ctx context.Context, who conversations.Caller, in protocol.PushSubscription) (protocol.PushDevice, error)
	Unsubscribe(ctx context.Context, who conversations.Caller, id string) error
	Subscriptions(ctx context.Context, who conversations.Caller) ([]protocol.PushDevice, error)
}

var _ Conversations = (*conversations.Conversations)(nil)

// Translate translates messages that the caller may read.
type Translate func(ctx context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvTranslate) (protocol.ConvTranslated, error)

// longText bounds the bodies that hold a message or a topic's post, with all characters escaped.
const longText = 112 << 10

// conversationRoutes are those of conversations, their messages, members and files.
func conversationRoutes(read, change limit) []Route {
	// Who has an identity may ask; the rest depends on the conversation, and is decided with it.
	const (
		may  = auth.ActionConnect
		all  = "/api/v1/conversations"
		one  = all + "/{conversation}"
		list = one + "/messages"
		msg  = list + "/{seq}"
	)
	return []Route{
		{Method: "GET", Path: all, Action: may, limit: read, serve: talk(listConversations)},
		{Method: "POST", Path: all, Action: may, limit: change, bytes: longText, once: true, again: createdAgain, serve: talk(createConversation)},
		{Method: "GET", Path: one, Action: may, limit: read, serve: inRoom(getConversation)},
		{Method: "PATCH", Path: one, Action: may, limit: change, bytes: longText, serve: inRoom(updateConversation)},
		{Method: "DELETE", Path: one, Action: may, limit: change, serve: inRoom(removeConversation)},
		{Method: "GET", Path: one + "/changes", Action: may, limit: read, serve: inRoom(changes)},

		{Method: "GET", Path: list, Action: may, limit: read, serve: inRoom(history)},
		{Method: "POST", Path: list, Action: may, limit: change, bytes: longText, serve: inRoom(sendMessage)},
		{Method: "PATCH", Path: msg, Action: may, limit: change, bytes: longText, serve: inRoom(editMessage)},
		{Method: "DELETE", Path: msg, Action: may, limit: change, serve: inRoom(changeMessage(Conversations.Delete, false))},
		{Method: "GET", Path: msg + "/revisions", Action: may, limit: read, serve: inRoom(revisions)},
		{Method: "PUT", Path: msg + "/reactions/{emoji}", Action: may, limit: change, serve: inRoom(changeMessage(Conversations.React, true))},
		{Method: "DELETE", Path: msg + "/reactions/{emoji}", Action: may, limit: change, serve: inRoom(changeMessage(Conversations.React, false))},
		{Method: "PUT", Path: msg + "/pin", Action: may, limit: change, serve: inRoom(changeMessage(Conversations.Pin, true))},
		{Method: "DELETE", Path: msg + "/pin", Action: may, limit: change, serve: inRoom(changeMessage(Conversations.Pin, false))},
		{Method: "PUT", Path: one + "/marks", Action: may, limit: change, serve: inRoom(mark)},
		{Method: "POST", Path: one + "/translations", Action: may, limit: change, serve: inRoom(translate)},

		{Method: "POST", Path: one + "/join", Action: may, limit: change, serve: inRoom(join)},
		{Method: "POST", Path: one + "/leave", Action: may, limit: change, serve: inRoom(leaveConversation)},
		{Method: "GET", Path: one + "/members", Action: may, limit: read, serve: inRoom(people)},
		{Method: "POST", Path: one + "/members", Action: may, limit: change, serve: inRoom(invite)},
		{Method: "PATCH", Path: one + "/members/{user}", Action: may, limit: change, serve: inRoom(setRole)},

		{Method: "POST", Path: one + "/files", Action: may, limit: change, file: true, time: fileTime, serve: inRoom(upload)},
		{Method: "GET", Path: "/api/v1/files/{file}", Action: may, limit: read, time: fileTime, serve: talk(download)},
		{Method: "GET", Path: "/api/v1/topics", Action: may, limit: read, serve: talk(topics)},
		{Method: "GET", Path: "/api/v1/search", Action: may, limit: read, serve: talk(search)},
	}
}

// fileTime is how long a file may take on its way: 10 MiB at 0.7 Mbit/s.
const fileTime = 2 * time.Minute

// guestName is what a guest is called who has written nothing yet.
const guestName = "Guest"

// talk makes a handler of a function that needs to know who asks.
func talk(f func(c *call, who conversations.Caller) (answer, error)) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		if c.api.cfg.Conversations == nil {
			return answer{}, protocol.Errorf(protocol.CodeNotFound, "there are no conversations here")
		}
		who, err := c.caller()
		if err != nil {
			return answer{}, err
		}
		return f(c, who)
	}
}

// inRoom makes a handler of a function that is about a conversation.
func inRoom(f func(c *call, who conversations.Caller, room protocol.RoomID) (answer, error)) func(*call) (answer, error) {
	return talk(func(c *call, who conversations.Caller) (answer, error) {
		room := c.r.PathValue("conversation")
		if rest, ok := strings.CutPrefix(room, "c_"); !ok || !plain(rest, 26, 26) {
			return answer{}, protocol.Errorf(protocol.CodeNotFound, "there is no such thing")
		}
		return f(c, who, protocol.RoomID(room))
	})
}

// caller is who asks; the name matters only for what others see.
func (c *call) caller() (conversations.Caller, error) {
	who := conversations.Caller{Principal: c.who, Name: guestName}
	if c.who.Guest || c.r.Method == http.MethodGet {
		return who, nil
	}
	var err error
	if who.Name, err = c.api.cfg.Accounts.Name(c.r.Context(), c.who.Identity); protocol.CodeOf(err) == protocol.CodeNotFound {
		err = protocol.Errorf(protocol.CodeUnauthorized, "this account is gone")
	}
	return who, err
}

// answerOf makes an answer of what a method returned.
func answerOf[T any](body T, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return ok(body)
}

// parameters reads a query; the first that is wrong stays in err.
type parameters struct {
	values url.Values
	err    error
}

func (c *call) parameters() *parameters { return &parameters{values: c.r.URL.Query()} }

func (p *parameters) wrong(name string) {
	if p.err == nil {
		p.err = protocol.Errorf(protocol.CodeBadRequest, "%s: not readable", name)
	}
}

// text returns a parameter of at most so many bytes.
func (p *parameters) text(name string, most int) string {
	s := p.values.Get(name)
	if len(s) > most || !utf8.ValidString(s) || strings.ContainsRune(s, 0) || len(p.values[name]) > 1 {
		p.wrong(name)
		return ""
	}
	return s
}

// number returns a parameter from least to most; 0 if it is not there.
func (p *parameters) number(name string, least, most uint64) uint64 {
	s := p.text(name, 20)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n < least || n > most {
		p.wrong(name)
		return 0
	}
	return n
}

// seq returns the number of a message or a change.
func (p *parameters) seq(name string) uint64 { return p.number(name, 0, 1<<63-1) }

func (p *parameters) limit(most uint64) int { return int(p.number("limit", 1, most)) }

func (p *parameters) flag(name string) bool {
	s := p.text(name, 5)
	if s != "" && s != "true" && s != "false" {
		p.wrong(name)
	}
	return s == "true"
}

func (p *parameters) user(name string) protocol.UserID {
	id := protocol.UserID(p.text(name, 64))
	if id != "" && !isPerson(id) {
		p.wrong(name)
	}
	return id
}

// isPerson reports whether id can be a user's or a guest's.
func isPerson(id protocol.UserID) bool {
	return auth.IsUserID(id) || strings.HasPrefix(string(id), "g_") && plain(string(id), 3, 64)
}

const (
	maxCursor = 512
	maxText   = 4096 // bytes of what is searched for: 200 characters of many bytes
)

func listConversations(c *call, who conversations.Caller) (answer, error) {
	p := c.parameters()
	q := protocol.ConvListQuery{Cursor: p.text("cursor", maxCursor), Limit: p.limit(maxPage)}
	if p.err != nil {
		return answer{}, p.err
	}
	return answerOf(c.api.cfg.Conversations.List(c.r.Context(), who, q))
}

func topics(c *call, who conversations.Caller) (answer, error) {
	p := c.parameters()
	q := protocol.ConvDirectoryQuery{Text: p.text("text", maxText), Language: p.text("language", 35), Tag: p.text("tag", 256), Cursor: p.text("cursor", maxCursor), Limit: p.limit(maxPage)}
	if p.err != nil {
		return answer{}, p.err
	}
	return answerOf(c.api.cfg.Conversations.Directory(c.r.Context(), who, q))
}

func search(c *call, who conversations.Caller) (answer, error) {
	p := c.parameters()
	q := protocol.ConvSearchQuery{Text: p.text("text", maxText), Room: protocol.RoomID(p.text("conversation", 64)), Author: p.user("author"), Cursor: p.text("cursor", maxCursor), Limit: p.limit(maxPage)}
	if p.err != nil {
		return answer{}, p.err
	}
	return answerOf(c.api.cfg.Conversations.Search(c.r.Context(), who, q))
}

type createRequest struct {
	Kind     protocol.ConvKind    `json:"kind" need:"true" max:"16"`
	With     string               `json:"with" max:"64"`
	Name     string               `json:"name" max:"1024"`
	About    string               `json:"about" max:"50000"`
	Language string               `json:"language" max:"35"`
	Tags     []string             `json:"tags" max:"256"`
	Writers  protocol.ConvWriters `json:"writers" max:"16"`
	Slow     int                  `json:"slow_s"`
	Keep     int64                `json:"retention_s"`
	Guests   *bool                `json:"guests"`
	Passcode string               `json:"passcode" max:"1024"`
}

func createConversation(c *call, who conversations.Caller) (answer, error) {
	in, err := decode[createRequest](c)
	if err != nil {
		return answer{}, err
	}
	out, err := answerOf(c.api.cfg.Conversations.Create(c.r.Context(), who, protocol.ConvCreate(in)))
	if e, isEntry := out.body.(protocol.ConvEntry); isEntry {
		out.kept = string(e.ID)
	}
	return out, err
}

// createdAgain shows what was created, as it is now.
func createdAgain(c *call, kept string) (answer, error) {
	return talk(func(c *call, who conversations.Caller) (answer, error) {
		return getConversation(c, who, protocol.RoomID(kept))
	})(c)
}

func getConversation(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	return answerOf(c.api.cfg.Conversations.Get(c.r.Context(), who, room))
}

type conversationPatch struct {
	Name     *string               `json:"name" max:"1024"`
	About    *string               `json:"about" max:"50000"`
	Language *string               `json:"language" max:"35"`
	Tags     *[]string             `json:"tags" max:"256"`
	Writers  *protocol.ConvWriters `json:"writers" max:"16"`
	Slow     *int                  `json:"slow_s"`
	Keep     *int64                `json:"retention_s"`
	Guests   *bool                 `json:"guests"`
	Passcode *string               `json:"passcode" max:"1024"`
}

func updateConversation(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	in, err := decode[conversationPatch](c)
	if err != nil {
		return answer{}, err
	}
	if in == (conversationPatch{}) {
		return answer{}, protocol.Errorf(protocol.CodeBadRequest, "there is nothing to change")
	}
	return answerOf(c.api.cfg.Conversations.Update(c.r.Context(), who, room, protocol.ConvPatch(in)))
}

func removeConversation(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	return c.done(c.api.cfg.Conversations.Remove(c.r.Context(), who, room))
}

func changes(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	p := c.parameters()
	q := protocol.ConvSyncQuery{Since: p.seq("since"), Limit: p.limit(500)}
	if p.values.Get("since") == "" {
		p.wrong("since")
	}
	if p.err != nil {
		return answer{}, p.err
	}
	return answerOf(c.api.cfg.Conversations.Sync(c.r.Context(), who, room, q))
}

type joinRequest struct {
	Passcode string `json:"passcode" max:"1024"`
}

func join(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	in, err := decode[joinRequest](c)
	if err != nil {
		return answer{}, err
	}
	return answerOf(c.api.cfg.Conversations.Join(c.r.Context(), who, room, in.Passcode))
}

func leaveConversation(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	return c.done(c.api.cfg.Conversations.Leave(c.r.Context(), who, room))
}

func people(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	p := c.parameters()
	cursor, limit := p.text("cursor", maxCursor), p.limit(maxPage)
	if p.err != nil {
		return answer{}, p.err
	}
	return answerOf(c.api.cfg.Conversations.Members(c.r.Context(), who, room, cursor, limit))
}

type inviteRequest struct {
	User string `json:"user" need:"true" max:"64"`
}

func invite(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	in, err := decode[inviteRequest](c)
	if err != nil {
		return answer{}, err
	}
	return answerOf(c.api.cfg.Conversations.Invite(c.r.Context(), who, room, in.User))
}

type roleRequest struct {
	Role protocol.ConvRole `json:"role" need:"true" max:"16"`
}

func setRole(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	in, err := decode[roleRequest](c)
	if err != nil {
		return answer{}, err
	}
	user := protocol.UserID(c.r.PathValue("user"))
	if !isPerson(user) {
		return answer{}, protocol.Errorf(protocol.CodeNotFound, "there is no such thing")
	}
	return answerOf(c.api.cfg.Conversations.SetRole(c.r.Context(), who, room, user, in.Role))
}

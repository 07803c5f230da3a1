// Package chat keeps what is written in rooms.
//
// Each room has one order: a message draws the next offset, 1, 2, 3 …, in the
// same step in which it is stored. A message that is sent again with the same
// client id by the same member is not stored again: the first answer is given.
// What a member missed is read by offset.
//
// A room's newest messages are kept, up to the store's Retention; history says
// which are there and never pretends that older ones do not exist: offsets go
// on counting.
//
// A store may lose what it was given, all of it or the newest. Each Log remembers
// the newest messages of the rooms that its node follows, as it stored them, read
// them or was told of them (Saw), and puts them back. Promises, while a node that
// has members of the room lives and remembers:
//
//   - an acknowledged message keeps its offset and stays in the room's history;
//   - offsets never go backwards, and no member sees two messages under one: after
//     a loss the room skips Leap offsets, more than may have been given out
//     unseen, which leaves a gap that nothing fills;
//   - what one node puts back is there before another says something new: for a
//     moment after a loss, Config.Settle, messages wait.
//
// A room that was dropped refuses messages for GoneFor.
//
// The package checks shape and size. That text is clean (no control characters,
// graphemes counted) and that the sender may write is for the caller.
package chat

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/internal/seeded"
	"github.com/rondo-chat/rondo/protocol"
)

// DefaultPage is how many messages History returns unless told otherwise.
const DefaultPage = 50

// PageBytes bounds the text of a page, so that an answer always fits a client's
// outbox.
const PageBytes = 128 << 10

// Message is a message in a room, and whose it is.
type Message struct {
	protocol.ChatMessage
	Room protocol.RoomID `json:"room"`
	User protocol.UserID `json:"user"`
}

// Weight is what the message counts against Retention.Bytes.
func (m *Message) Weight() int {
	return len(m.Text) + len(m.Name) + len(m.CID) + len(m.From) + len(m.User) + 64
}

// Config configures a Log. Zero fields have the defaults given.
type Config struct {
	Store      Store                 // required
	Timeout    time.Duration         // for one call, beyond which it is unavailable; 5 s
	Registerer prometheus.Registerer // nil: not registered

	// Follows says whether members of the room are on this node: what its newest
	// messages are is remembered then. It must not block. nil: of none.
	Follows func(protocol.RoomID) bool
	// Check is how often Tend asks the store whether it has lost something; 1 s.
	Check time.Duration
	// Settle is how long messages wait after a loss, for what other nodes put
	// back, longer than Check; 1.5 s.
	Settle time.Duration
	Logger *slog.Logger // nil: discard
}

// Log takes and returns messages. It is safe for concurrent use. Errors are
// *protocol.Error; unavailable means that the outcome is not known: sending the
// same message again is safe.
type Log struct {
	cfg     Config
	metrics *metrics
	tails   *tails
}

// New makes a Log.
func New(cfg Config) (*Log, error) {
	if cfg.Store == nil {
		return nil, errors.New("chat: Config.Store is missing")
	}
	for d, def := range map[*time.Duration]time.Duration{&cfg.Timeout: 5 * time.Second, &cfg.Check: time.Second, &cfg.Settle: 1500 * time.Millisecond} {
		if *d < 0 {
			return nil, errors.New("chat: a duration of Config is negative")
		}
		if *d == 0 {
			*d = def
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Log{cfg: cfg, metrics: newMetrics(cfg.Registerer),
		tails: &tails{follows: cfg.Follows, settle: cfg.Settle, rooms: map[protocol.RoomID]*tail{}}}, nil
}

// Send stores the message in the room and returns it with its Off and At. Of m
// the caller gives From, User, Name, CID and Text. If the member sent this CID
// before and the message is still kept, that one is returned and dup is true.
// Errors: bad_request, too_large, unavailable; forbidden of a room that is over.
func (l *Log) Send(ctx context.Context, room protocol.RoomID, m Message) (sent Message, dup bool, err error) {
	m.Room, m.Off, m.At = room, 0, time.Now().UnixMilli()
	if err = check(m); err == nil {
		ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
		defer cancel()
		sent, dup, err = l.append(ctx, m)
		if seeded.ChatAgain.Hit() {
			m.CID += "-again"
			sent, dup, err = l.append(ctx, m)
		}
	}
	l.metrics.sent(m, dup, err)
	if err != nil {
		return Message{}, false, err
	}
	return sent, dup, nil
}

func check(m Message) error {
	switch {
	case !isWord(string(m.Room)):
		return protocol.Errorf(protocol.CodeBadRequest, "room: not an id")
	case !isWord(string(m.From)):
		return protocol.Errorf(protocol.CodeInternal, "chat: the sender has no member id")
	case !isWord(m.CID):
		return protocol.Errorf(protocol.CodeBadRequest, "cid: must be 1 to %d of A-Z a-z 0-9 _ -", protocol.MaxCIDBytes)
	case m.Text == "":
		return protocol.Errorf(protocol.CodeBadRequest, "text: is empty")
	case len(m.Text) > protocol.MaxChatBytes:
		return protocol.Errorf(protocol.CodeTooLarge, "text: over %d bytes", protocol.MaxChatBytes)
	case !utf8.ValidString(m.Text), !utf8.ValidString(m.Name):
		return protocol.Errorf(protocol.CodeBadRequest, "text: not UTF-8")
	}
	return nil
}

// isWord reports whether s has the shape of an id: 1 to 64 letters, digits, "_"
// and "-". Stores rely on it for keys.
func isWord(s string) bool {
	return len(s) >= 1 && len(s) <= protocol.MaxCIDBytes && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-'
	})
}

// History returns a page of the room's messages, oldest first: with Since those
// after that offset, the oldest of them; with Before those before it, the newest
// of them; with neither the newest. More says whether the page ends early: with
// Since that newer ones are there, else that older ones are. A room without
// messages has Off 0. Errors: bad_request, unavailable; forbidden of a room that is
// over.
func (l *Log) History(ctx context.Context, room protocol.RoomID, q protocol.ChatQuery) (protocol.ChatHistory, error) {
	query, err := parse(room, q)
	var page Page
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
		defer cancel()
		page, err = l.page(ctx, room, query)
	}
	l.metrics.read(err)
	if err != nil {
		return protocol.ChatHistory{}, err
	}
	kept := within(page.Messages, query.Forward, PageBytes)
	if seeded.HistoryShort.Hit() {
		kept = kept[:max(0, len(kept)-1)]
	}
	h := protocol.ChatHistory{Off: page.Last, More: page.More || len(kept) < len(page.Messages), Messages: make([]protocol.ChatMessage, len(kept))}
	for i, m := range kept {
		h.Messages[i] = m.ChatMessage
	}
	return h, nil
}

// within returns the messages from the end at which the reader goes on that
// hold no more than limit bytes of text together, but at least one.
func within(list []Message, forward bool, limit int) []Message {
	if forward {
		for i, m := range list {
			if limit -= len(m.Text); limit < 0 && i > 0 {
				return list[:i]
			}
		}
		return list
	}
	for i := len(list) - 1; i >= 0; i-- {
		if limit -= len(list[i].Text); limit < 0 && i < len(list)-1 {
			return list[i+1:]
		}
	}
	return list
}

func parse(room protocol.RoomID, q protocol.ChatQuery) (Query, error) {
	switch {
	case !isWord(string(room)):
		return Query{}, protocol.Errorf(protocol.CodeBadRequest, "room: not an id")
	case q.Limit < 0 || q.Limit > protocol.MaxHistory:
		return Query{}, protocol.Errorf(protocol.CodeBadRequest, "limit: must be 1 to %d", protocol.MaxHistory)
	case q.Since != nil && q.Before != 0:
		return Query{}, protocol.Errorf(protocol.CodeBadRequest, "since, before: only one of them")
	}
	query := Query{Before: q.Before, Limit: q.Limit}
	if query.Limit == 0 {
		query.Limit = DefaultPage
	}
	if q.Since != nil {
		query.Forward, query.After = true, *q.Since
	}
	return query, nil
}

// Touch keeps the rooms' messages from expiring for another Retention.TTL.
func (l *Log) Touch(ctx context.Context, rooms []protocol.RoomID) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	return l.cfg.Store.Touch(ctx, words(rooms))
}

// Forget removes the messages of a user who is gone for good from all rooms. All
// nodes must Unlearn them before: they would put them back after a loss. It may
// take seconds.
func (l *Log) Forget(ctx context.Context, user protocol.UserID) error {
	l.Unlearn(user)
	return l.cfg.Store.Forget(ctx, user)
}

// Unlearn forgets what this node remembers of a user's messages.
func (l *Log) Unlearn(user protocol.UserID) { l.tails.forgetUser(user) }

// Drop removes all messages of the room, whose id must not be used again. For
// GoneFor it refuses messages.
func (l *Log) Drop(ctx context.Context, room protocol.RoomID) error {
	if !isWord(string(room)) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	l.tails.forget(room)
	return l.cfg.Store.Drop(ctx, room)
}

func words(rooms []protocol.RoomID) []protocol.RoomID {
	ids := make([]protocol.RoomID, 0, len(rooms))
	for _, id := range rooms {
		if isWord(string(id)) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Package viewtest is a small model of a reader of a conversation, for tests: what a reader has after loading, after events in
// any order, after Sync must be what a fresh read gives.
package viewtest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// Source is where a view comes from: *conversations.Conversations, or what stands between it and a reader.
type Source interface {
	Open(ctx context.Context, who conversations.Caller, room protocol.RoomID, q protocol.ConvOpen) (protocol.ConvOpened, error)
	History(ctx context.Context, who conversations.Caller, room protocol.RoomID, q protocol.ConvHistoryQuery) (protocol.ConvHistory, error)
	Members(ctx context.Context, who conversations.Caller, room protocol.RoomID, cursor string, limit int) (protocol.ConvPeople, error)
	Sync(ctx context.Context, who conversations.Caller, room protocol.RoomID, q protocol.ConvSyncQuery) (protocol.ConvSync, error)
}

// View is what one reader has of one conversation.
type View struct {
	Seq          uint64 // the reader has all up to it
	Conversation protocol.Conversation
	Messages     map[uint64]protocol.ConvMessage
	People       map[protocol.UserID]protocol.ConvPerson

	ahead map[uint64]bool // numbers over Seq of which the events came
}

// Load reads everything, in pages of at most page messages.
func Load(ctx context.Context, from Source, who conversations.Caller, room protocol.RoomID, page int) (*View, error) {
	o, err := from.Open(ctx, who, room, protocol.ConvOpen{Limit: page})
	if err != nil {
		return nil, err
	}
	v := &View{Seq: min(o.Conversation.Seq, o.History.Seq), Messages: map[uint64]protocol.ConvMessage{}, People: map[protocol.UserID]protocol.ConvPerson{},
		ahead: map[uint64]bool{}}
	v.settings(o.Conversation)
	v.all(o.History.Messages, o.People)
	for h := *o.History; h.Older && len(h.Messages) > 0; {
		if h, err = from.History(ctx, who, room, protocol.ConvHistoryQuery{Before: h.Messages[0].Seq, Limit: page}); err != nil {
			return nil, err
		}
		v.all(h.Messages, nil)
	}
	for next := ""; ; {
		p, err := from.Members(ctx, who, room, next, page)
		if err != nil {
			return nil, err
		}
		v.all(nil, p.People)
		if next = p.Next; next == "" {
			return v, nil
		}
	}
}

// Clone is a copy that goes its own way.
func (v *View) Clone() *View {
	c := *v
	c.Messages, c.People, c.ahead = maps.Clone(v.Messages), maps.Clone(v.People), maps.Clone(v.ahead)
	return &c
}

// Apply takes an event, in whatever order and however often they come. What the view has already it does not take
// again: it would bring back who has been removed since without a trace.
func (v *View) Apply(e protocol.ConvEvent) {
	if e.Seq <= v.Seq {
		return
	}
	switch {
	case e.Message != nil:
		v.all([]protocol.ConvMessage{*e.Message}, nil)
	case e.Person != nil:
		v.all(nil, []protocol.ConvPerson{*e.Person})
	case e.Conversation != nil:
		v.settings(*e.Conversation)
	}
	v.ahead[e.Seq] = true
	for v.ahead[v.Seq+1] {
		v.Seq++
		delete(v.ahead, v.Seq)
	}
}

// Sync asks for what changed after Seq, in pages of limit. It reports false if the view must be loaded afresh.
func (v *View) Sync(ctx context.Context, from Source, who conversations.Caller, room protocol.RoomID, limit int) (bool, error) {
	for {
		s, err := from.Sync(ctx, who, room, protocol.ConvSyncQuery{Since: v.Seq, Limit: limit})
		if err != nil || s.Reset {
			return false, err
		}
		if n := len(s.Messages) + len(s.People); n > limit {
			return false, fmt.Errorf("%d changes, asked for %d", n, limit)
		}
		v.all(s.Messages, s.People)
		if s.Conversation != nil {
			v.settings(*s.Conversation)
		}
		if v.Seq = s.Seq; !s.More {
			return true, nil
		}
	}
}

func (v *View) all(messages []protocol.ConvMessage, people []protocol.ConvPerson) {
	for _, m := range messages {
		if m.Seq >= v.Conversation.Oldest && m.Rev >= v.Messages[m.Seq].Rev {
			v.Messages[m.Seq] = m
		}
	}
	for _, p := range people {
		if p.Rev >= v.People[p.ID].Rev {
			v.People[p.ID] = p
		}
	}
}

func (v *View) settings(c protocol.Conversation) {
	if c.Rev < v.Conversation.Rev {
		return
	}
	v.Conversation = c
	maps.DeleteFunc(v.Messages, func(seq uint64, _ protocol.ConvMessage) bool { return seq < c.Oldest })
}

// String has all that events and Sync promise, for comparing: people who are in or invited, without their marks, and not what stands
// outside of Rev.
func (v *View) String() string {
	var b strings.Builder
	line := func(what any) {
		text, err := json.Marshal(what)
		fmt.Fprintln(&b, string(text), err)
	}
	c := v.Conversation
	c.Members, c.Seq, c.Active = 0, 0, 0
	line(c)
	for _, seq := range slices.Sorted(maps.Keys(v.Messages)) {
		line(v.Messages[seq])
	}
	for _, id := range slices.Sorted(maps.Keys(v.People)) {
		p := v.People[id]
		if p.Delivered, p.Read = 0, 0; p.Role != protocol.ConvLeft && p.Role != protocol.ConvBanned {
			line(p)
		}
	}
	return b.String()
}

// Diff says where two views differ; "" if they do not.
func Diff(a, b *View) string {
	x, y := strings.Split(a.String(), "\n"), strings.Split(b.String(), "\n")
	for i := range max(len(x), len(y)) {
		var l, r string
		if i < len(x) {
			l = x[i]
		}
		if i < len(y) {
			r = y[i]
		}
		if l != r {
			return fmt.Sprintf("line %d:\n%s\n%s", i+1, l, r)
		}
	}
	return ""
}

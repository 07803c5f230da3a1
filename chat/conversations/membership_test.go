package conversations_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// role is what somebody is, "" of who is nothing.
func (h *house) role(room protocol.RoomID, who conversations.Caller) (role protocol.ConvRole) {
	h.must(h.store.Read(h.t.Context(), "test", func(r conversations.Reader) error {
		m, err := r.Member(room, who.Identity)
		if role = m.Role; err == conversations.ErrNotFound {
			err = nil
		}
		return err
	}))
	return role
}

func (h *house) row(room protocol.RoomID) (row conversations.Row, there bool) {
	h.must(h.store.Read(h.t.Context(), "test", func(r conversations.Reader) (err error) {
		row, err = r.Conversation(room)
		if there = err == nil; err == conversations.ErrNotFound {
			err = nil
		}
		return err
	}))
	return row, there
}

// TestHeirs: an owner who leaves hands over to the oldest moderator, else to the oldest member, never to a guest; without anybody the
// conversation is gone.
func TestHeirs(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, ben, cem, gus := h.user("ann"), h.user("ben"), h.user("cem"), h.guest("gus")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvTopic})
	for _, who := range []conversations.Caller{gus, ben, cem} {
		h.advance(time.Second)
		h.must(second(h.Join(t.Context(), who, room, "")))
	}
	h.must(second(h.SetRole(t.Context(), ann, room, "u_cem", protocol.ConvModerator)))
	wantCode(t, second(h.SetRole(t.Context(), ann, room, "g_gus", protocol.ConvModerator)), protocol.CodeForbidden)
	for _, c := range []struct{ leaves, heir conversations.Caller }{{ann, cem}, {cem, ben}} {
		h.must(h.Leave(t.Context(), c.leaves, room))
		if h.role(room, c.leaves) != protocol.ConvLeft || h.role(room, c.heir) != protocol.ConvOwner {
			t.Errorf("%s left: %s is %s", c.leaves.Name, c.heir.Name, h.role(room, c.heir))
		}
	}
	if row, _ := h.row(room); row.Members != 2 {
		t.Errorf("%d members", row.Members)
	}
	h.must(h.Leave(t.Context(), ben, room))
	if _, there := h.row(room); there {
		t.Error("it is still there")
	}
	events := h.events(room)
	if last := events[len(events)-1]; last.Conversation == nil || !last.Conversation.Deleted {
		t.Errorf("%+v", last)
	}
	h.gapless(room)
	wantCode(t, h.Leave(t.Context(), gus, room), protocol.CodeNotFound)
}

// TestHandingOver: there is one owner.
func TestHandingOver(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, ben, cem := h.user("ann"), h.user("ben"), h.user("cem")
	room := h.group(ann, ben, cem)
	set := func(who conversations.Caller, user protocol.UserID, role protocol.ConvRole) error {
		return second(h.SetRole(t.Context(), who, room, user, role))
	}
	wantCode(t, set(ben, "u_ann", protocol.ConvBanned), protocol.CodeForbidden)
	wantCode(t, set(ann, "u_ann", protocol.ConvMember), protocol.CodeBadRequest)
	wantCode(t, set(ann, "u_cem", protocol.ConvInvited), protocol.CodeBadRequest)
	wantCode(t, set(ann, "u_nobody", protocol.ConvOwner), protocol.CodeNotFound)
	h.must(set(ann, "u_cem", protocol.ConvOwner))
	if a, c := h.role(room, ann), h.role(room, cem); a != protocol.ConvModerator || c != protocol.ConvOwner {
		t.Errorf("%s, %s", a, c)
	}
	wantCode(t, set(ann, "u_cem", protocol.ConvLeft), protocol.CodeForbidden)
	wantCode(t, set(ann, "u_ben", protocol.ConvBanned), protocol.CodeForbidden) // both moderate
	h.must(set(cem, "u_ben", protocol.ConvBanned))
	wantCode(t, set(cem, "u_ben", protocol.ConvModerator), protocol.CodeForbidden)
	wantCode(t, second(h.Invite(t.Context(), cem, room, "ben")), protocol.CodeForbidden)
	wantCode(t, second(h.Join(t.Context(), ben, room, "")), protocol.CodeNotFound)
	wantCode(t, second(h.Get(t.Context(), ben, room)), protocol.CodeNotFound)
	wantCode(t, h.Leave(t.Context(), ben, room), protocol.CodeNotFound)
	if p, err := h.Members(t.Context(), cem, room, "", 2); err != nil || len(p.People) != 2 || p.Next == "" {
		t.Errorf("%+v, %v", p, err)
	} else if p, err = h.Members(t.Context(), cem, room, p.Next, 2); err != nil || len(p.People) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	h.send(cem, room, "1", "for members")
	h.must(set(cem, "u_ben", protocol.ConvLeft)) // no ban any more
	h.must(second(h.Invite(t.Context(), cem, room, "ben")))
	e, err := h.Get(t.Context(), ben, room)
	if err != nil || e.Me.Role != protocol.ConvInvited || e.Last != nil {
		t.Errorf("%+v, %v", e, err)
	}
	wantCode(t, second(h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{})), protocol.CodeNotFound)
	h.must(h.Leave(t.Context(), ben, room)) // declined
	if row, _ := h.row(room); row.Members != 2 {
		t.Errorf("%d members", row.Members)
	}
	h.gapless(room)
}

// TestBanOfAStranger: who was never here can be kept away from a topic, and one who joined anew before is out.
func TestBanOfAStranger(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, eve := h.user("ann"), h.user("eve")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvTopic, Writers: protocol.WriteEveryone})
	h.must(h.MayRead(t.Context(), eve, room))
	h.must(second(h.SetRole(t.Context(), ann, room, "u_eve", protocol.ConvBanned)))
	for _, err := range []error{h.MayRead(t.Context(), eve, room), h.MayWrite(t.Context(), eve, room), second(h.Join(t.Context(), eve, room, ""))} {
		wantCode(t, err, protocol.CodeForbidden)
	}
	wantCode(t, second(h.SetRole(t.Context(), ann, room, "u_unknown", protocol.ConvBanned)), protocol.CodeNotFound)
}

// TestPasscodes: guesses are counted by guesser and by conversation; the passcode does not stand in the record.
func TestPasscodes(t *testing.T) {
	t.Parallel()
	h := open(t, func(cfg *conversations.Config) {
		cfg.Limits.Guess = ratelimit.Rate{PerSecond: 0.001, Burst: 3}
		cfg.Limits.GuessRoom = ratelimit.Rate{PerSecond: 0.1, Burst: 5}
	})
	ann := h.user("ann")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvGroup, Passcode: "sesame"})
	other := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvGroup, Passcode: "sesame"})
	a, _ := h.row(room)
	b, _ := h.row(other)
	if !a.Passcode || a.PasscodeHash == b.PasscodeHash || strings.Contains(a.PasscodeHash, "sesame") || len(a.PasscodeHash) != 64 {
		t.Errorf("%q, %q", a.PasscodeHash, b.PasscodeHash)
	}
	join := func(who conversations.Caller, passcode string) error {
		return second(h.Join(t.Context(), who, room, passcode))
	}
	eve, ben := h.user("eve"), h.user("ben")
	h.send(ann, room, "1", "before they came")
	wantCode(t, join(eve, ""), protocol.CodePasscode) // costs nothing
	for range 3 {
		wantCode(t, join(eve, "open"), protocol.CodePasscode)
	}
	wantCode(t, join(eve, "sesame"), protocol.CodeRateLimited)
	h.must(join(ben, "sesame"))
	wantCode(t, join(h.user("cem"), strings.Repeat("s", 65)), protocol.CodePasscode)
	wantCode(t, join(h.user("dea"), "sesame"), protocol.CodeRateLimited)
	h.advance(time.Minute)
	h.must(join(h.user("dea"), "sesame"))
	wantCode(t, join(h.guest("gus"), "sesame"), protocol.CodeNotFound)
	h.must(second(h.Invite(t.Context(), ann, room, "eve")))
	h.must(join(eve, "")) // who is invited needs none
	none := ""
	h.must(second(h.Update(t.Context(), ann, room, protocol.ConvPatch{Passcode: &none})))
	wantCode(t, join(h.user("fay"), "sesame"), protocol.CodeNotFound)
	if e, err := h.Get(t.Context(), ben, room); err != nil || e.Unread != 0 || e.Members != 4 || e.Passcode {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestGuests: they read and write where they may, and are nobody where they may no more.
func TestGuests(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, gus := h.user("ann"), h.guest("gus")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvTopic, Writers: protocol.WriteEveryone})
	m := h.send(gus, room, "1", "hello")
	if h.role(room, gus) != protocol.ConvMember || m.Seq != 4 {
		t.Errorf("%s, %d", h.role(room, gus), m.Seq)
	}
	wantCode(t, second(h.Invite(t.Context(), gus, room, "ann")), protocol.CodeForbidden)
	made := h.user("gus") // the guest registers and keeps the identity
	made.Identity = gus.Identity
	h.send(made, room, "made", "now I am somebody")
	h.must(second(h.SetRole(t.Context(), ann, room, gus.Identity, protocol.ConvModerator)))
	h.must(second(h.SetRole(t.Context(), ann, room, gus.Identity, protocol.ConvMember)))
	no := false
	h.must(second(h.Update(t.Context(), ann, room, protocol.ConvPatch{Guests: &no})))
	for _, who := range []conversations.Caller{gus, h.guest("gil")} {
		wantCode(t, second(h.Send(t.Context(), who, room, protocol.ConvSend{CID: "2", Text: "x"})), protocol.CodeForbidden)
		wantCode(t, second(h.Open(t.Context(), who, room, protocol.ConvOpen{})), protocol.CodeForbidden)
	}
	h.gapless(room)
}

// TestMarksInTopics: how far others are is nobody's business there.
func TestMarksInTopics(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, ben := h.user("ann"), h.user("ben")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvTopic, Writers: protocol.WriteEveryone})
	h.send(ben, room, "1", "x")
	h.send(ann, room, "2", "x")
	for _, who := range []conversations.Caller{ann, ben} {
		p, err := h.Members(t.Context(), who, room, "", 0)
		h.must(err)
		s, err := h.Sync(t.Context(), who, room, protocol.ConvSyncQuery{})
		h.must(err)
		for _, p := range append(p.People, s.People...) {
			if (p.Read > 0) != (p.ID == who.Identity) {
				t.Errorf("%s sees %+v", who.Name, p)
			}
		}
	}
	for _, e := range h.events(room) {
		if e.Person != nil && e.Person.Read > 0 {
			t.Errorf("%+v", e.Person)
		}
	}
	visitor := h.user("eve")
	if m, err := h.Mark(t.Context(), visitor, room, protocol.ConvMark{Read: 3}); err != nil || m.User != "" {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestMemberBounds: how many conversations one may be in, how many members one may have, and how many invitations wait.
func TestMemberBounds(t *testing.T) {
	t.Parallel()
	h := open(t, func(cfg *conversations.Config) { cfg.Limits.Pending = 3 })
	ann, ben := h.user("ann"), h.user("ben")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvGroup, Passcode: "p"})
	fill := func(f func(tx conversations.Tx) error) { t.Helper(); h.must(h.store.Write(t.Context(), "test", f)) }
	row, _ := h.row(room)
	row.Members = protocol.MaxGroupMembers
	fill(func(tx conversations.Tx) error { return tx.UpdateConversation(row) })
	wantCode(t, second(h.Join(t.Context(), ben, room, "p")), protocol.CodeForbidden)
	wantCode(t, second(h.Invite(t.Context(), ann, room, "ben")), protocol.CodeForbidden)
	row.Members = 1
	fill(func(tx conversations.Tx) error {
		for i := range protocol.MaxConversations {
			m := conversations.Member{Room: protocol.RoomID(fmt.Sprint("c_", i)), ConvPerson: protocol.ConvPerson{ID: "u_ben", Role: protocol.ConvMember}}
			if err := tx.PutMember(m); err != nil {
				return err
			}
		}
		return tx.UpdateConversation(row)
	})
	wantCode(t, second(h.Join(t.Context(), ben, room, "p")), protocol.CodeForbidden)
	wantCode(t, second(h.Create(t.Context(), ben, protocol.ConvCreate{Kind: protocol.ConvTopic, Name: "x"})), protocol.CodeForbidden)
	h.user("cem")
	for range 3 {
		h.must(second(h.Invite(t.Context(), ann, h.create(ann, protocol.ConvCreate{Kind: protocol.ConvGroup}), "cem")))
	}
	wantCode(t, second(h.Invite(t.Context(), ann, room, "cem")), protocol.CodeForbidden)
	h.set(func() { h.blocked["u_dea u_ann"] = true })
	h.user("dea")
	wantCode(t, second(h.Invite(t.Context(), ann, room, "dea")), protocol.CodeForbidden)
	h.guest("gus")
	wantCode(t, second(h.Invite(t.Context(), ann, room, "g_gus")), protocol.CodeForbidden)
}

// TestRates: each rate refuses what is too fast.
func TestRates(t *testing.T) {
	t.Parallel()
	one := ratelimit.Rate{PerSecond: 0.01, Burst: 1}
	h := open(t, func(cfg *conversations.Config) {
		cfg.Limits = conversations.Limits{Change: one, Create: one, Manage: one, Search: one, Attach: one, Join: one, Send: one}
	})
	ann, ben := h.user("ann"), h.user("ben")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvTopic})
	m := h.send(ann, room, "1", "x")
	file := func() error {
		return h.Attach(t.Context(), ann, room, conversations.File{ConvFile: protocol.ConvFile{ID: auth.Random(8)}, Stored: "s"})
	}
	name := "y"
	for what, f := range map[string]func() error{
		"search": func() error {
			return second(h.Search(t.Context(), ann, protocol.ConvSearchQuery{Text: "x"}))
		},
		"attach": file,
		"change": func() error {
			return second(h.React(t.Context(), ann, room, protocol.ConvChange{Seq: m.Seq, Emoji: "👍", On: true}))
		},
		"manage": func() error {
			return second(h.Update(t.Context(), ann, room, protocol.ConvPatch{Name: &name}))
		},
	} {
		if err := f(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := f(); protocol.CodeOf(err) != protocol.CodeRateLimited {
			t.Errorf("%s again: %v", what, err)
		}
	}
	wantCode(t, second(h.Create(t.Context(), ann, protocol.ConvCreate{Kind: protocol.ConvTopic, Name: "x"})), protocol.CodeRateLimited)
	h.must(second(h.Join(t.Context(), ben, room, "")))
	h.must(second(h.Join(t.Context(), ben, room, ""))) // is in already
	wantCode(t, h.Leave(t.Context(), ben, room), protocol.CodeRateLimited)
}

package conversations_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/conversations/viewtest"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// step runs one step of a job.
func (h *house) step(name string) {
	h.t.Helper()
	h.must(second(h.Step(h.t.Context(), name)))
}

// TestPublishingFails: a send does not fail with it, and what was not heard is published later, by any node, once.
func TestPublishingFails(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, ben := h.user("ann"), h.user("ben")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvDirect, With: "ben"})
	h.step("flush")
	h.set(func() { h.deaf = true })
	m := h.send(ben, room, "1", "hello?")
	h.step("flush")
	h.set(func() { h.deaf = false })
	n2 := h.node("n2")
	h.must(second(n2.Step(t.Context(), "outbox")))
	if len(h.events(room)) != 3 {
		t.Fatal("it was published again at once: its node may be about to")
	}
	h.advance(6 * time.Second)
	for range 2 {
		h.must(second(n2.Step(t.Context(), "outbox")))
	}
	events := h.events(room)
	if len(events) != 4 || events[3].Seq != m.Seq || events[3].Message.Text != "hello?" {
		t.Errorf("%+v", events)
	}
	h.advance(2 * time.Hour)
	h.step("trim")
	h.must(h.store.Write(t.Context(), "test", func(tx conversations.Tx) error {
		n, err := tx.Sequence(100)
		if n != 0 {
			t.Errorf("%d events are still there", n)
		}
		return err
	}))
}

// TestSinksGetAll: with sinks events are put in order, and stay until all sinks have them.
func TestSinksGetAll(t *testing.T) {
	t.Parallel()
	h := open(t, func(cfg *conversations.Config) { cfg.Sinks = []string{"hook"} })
	ann := h.user("ann")
	h.user("ben")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvDirect, With: "ben"})
	h.send(ann, room, "1", "hello")
	h.step("flush")
	h.step("sequence")
	count := func() (n int) {
		h.must(h.store.Read(t.Context(), "test", func(r conversations.Reader) error {
			list, err := r.Events(0, 100)
			n = len(list)
			return err
		}))
		return n
	}
	h.advance(2 * time.Hour)
	h.step("trim")
	if count() != 4 {
		t.Errorf("%d events", count())
	}
	h.must(h.store.Write(t.Context(), "test", func(tx conversations.Tx) error { return tx.PutCursor("hook", conversations.Cursor{Pos: 4}) }))
	h.step("trim")
	if count() != 0 {
		t.Errorf("%d events", count())
	}
}

// TestRetention: old messages go, which readers hear of by Oldest; a reader who applies the events has what is left.
func TestRetention(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, ben := h.user("ann"), h.user("ben")
	room := h.group(ann, ben)
	f := conversations.File{ConvFile: protocol.ConvFile{ID: "f1", Name: "a"}, Stored: "blob1"}
	h.must(h.Attach(t.Context(), ann, room, f))
	h.must(second(h.Send(t.Context(), ann, room, protocol.ConvSend{CID: "0", Files: []string{"f1"}})))
	keep := int64(3600)
	h.must(second(h.Update(t.Context(), ann, room, protocol.ConvPatch{Keep: &keep})))
	h.send(ann, room, "1", "old")
	h.advance(30 * time.Minute)
	h.send(ann, room, "2", "young")
	v, err := viewtest.Load(t.Context(), h, ben, room, 10)
	h.must(err)
	h.step("retention")
	if events := h.events(room); uint64(len(events)) != v.Seq {
		t.Fatal("a number was drawn for nothing")
	}
	h.advance(31 * time.Minute)
	h.step("retention")
	page, err := h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{})
	h.must(err)
	wantTexts(t, page.Messages, "young")
	fresh, err := viewtest.Load(t.Context(), h, ben, room, 10)
	h.must(err)
	for _, e := range h.events(room) {
		v.Apply(e)
	}
	if d := viewtest.Diff(v, fresh); d != "" || v.Seq != fresh.Seq {
		t.Error(d)
	}
	wantCode(t, second(h.File(t.Context(), ann, "f1")), protocol.CodeNotFound)
	h.step("files")
	if len(h.deleted) != 1 || h.deleted[0] != "blob1" {
		t.Errorf("deleted %v", h.deleted)
	}
	h.advance(time.Hour)
	h.step("retention")
	page, err = h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{})
	h.must(err)
	wantTexts(t, page.Messages)
	if page.Older || h.send(ann, room, "3", "anew").Seq != page.Seq+1 {
		t.Errorf("%+v", page)
	}
	h.gapless(room)
}

// TestIdleGuests: guests who write nothing for long are members no more; users are.
func TestIdleGuests(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	ann, gus, gil := h.user("ann"), h.guest("gus"), h.guest("gil")
	room := h.create(ann, protocol.ConvCreate{Kind: protocol.ConvTopic})
	for _, who := range []conversations.Caller{gus, gil} {
		h.must(second(h.Join(t.Context(), who, room, "")))
	}
	h.advance(20 * 24 * time.Hour)
	h.send(gil, room, "1", "I am here")
	h.advance(11 * 24 * time.Hour)
	h.step("guests")
	if a, b, c := h.role(room, ann), h.role(room, gus), h.role(room, gil); a != protocol.ConvOwner || b != protocol.ConvLeft || c != protocol.ConvMember {
		t.Errorf("%s, %s, %s", a, b, c)
	}
	if row, _ := h.row(room); row.Members != 2 {
		t.Errorf("%d members", row.Members)
	}
	h.gapless(room)
}

// failing cannot delete what is named so.
type failing struct{ blobs }

func (f failing) Delete(ctx context.Context, stored string) error {
	if strings.HasPrefix(stored, "stuck") {
		return errors.New("stuck")
	}
	return f.blobs.Delete(ctx, stored)
}

// TestFiles: who may see uploads, which ones go, and that none goes which a message may still get.
func TestFiles(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	h.cfg.Files = failing{blobs{h}}
	h.Conversations = h.node("n1")
	ann, ben, eve := h.user("ann"), h.user("ben"), h.user("eve")
	room, other := h.group(ann, ben), h.group(ann, ben)
	ctx := t.Context()
	for _, id := range []string{"f1", "f2", "f3", "stuck4"} {
		h.must(h.Attach(ctx, ann, room, conversations.File{ConvFile: protocol.ConvFile{ID: id, Name: id}, Stored: id}))
	}
	wantCode(t, h.Attach(ctx, ben, room, conversations.File{ConvFile: protocol.ConvFile{ID: "f1"}, Stored: "x"}), protocol.CodeBadRequest)
	wantCode(t, h.Attach(ctx, eve, room, conversations.File{ConvFile: protocol.ConvFile{ID: "f9"}, Stored: "x"}), protocol.CodeNotFound)
	wantCode(t, second(h.File(ctx, ben, "f1")), protocol.CodeNotFound) // no message has it yet
	h.must(second(h.File(ctx, ann, "f1")))
	wantCode(t, second(h.Send(ctx, ben, room, protocol.ConvSend{CID: "1", Files: []string{"f1"}})), protocol.CodeNotFound)
	wantCode(t, second(h.Send(ctx, ann, other, protocol.ConvSend{CID: "1", Files: []string{"f1"}})), protocol.CodeNotFound)
	sent, err := h.Send(ctx, ann, room, protocol.ConvSend{CID: "1", Files: []string{"f1", "f2"}})
	h.must(err)
	if len(sent.Message.Files) != 2 || sent.Message.Files[0].Name != "f1" {
		t.Errorf("%+v", sent)
	}
	wantCode(t, second(h.Send(ctx, ann, room, protocol.ConvSend{CID: "2", Files: []string{"f1"}})), protocol.CodeNotFound) // it has one
	h.must(second(h.File(ctx, ben, "f1")))
	wantCode(t, second(h.File(ctx, eve, "f1")), protocol.CodeNotFound)
	wantCode(t, second(h.File(ctx, conversations.Caller{}, "f1")), protocol.CodeUnauthorized)
	wantCode(t, second(h.File(ctx, ann, "../../etc/passwd")), protocol.CodeNotFound)
	h.step("files")
	h.advance(25 * time.Hour)
	if err := second(h.Step(ctx, "files")); err == nil || err.Error() != "stuck" {
		t.Errorf("a file that cannot be deleted: %v", err)
	}
	if fmt.Sprint(h.deleted) != "[f3]" {
		t.Errorf("deleted %v", h.deleted)
	}
	wantCode(t, second(h.Send(ctx, ann, room, protocol.ConvSend{CID: "3", Files: []string{"stuck4"}})), protocol.CodeNotFound) // it is going
	h.must(second(h.SetRole(ctx, ann, room, "u_ben", protocol.ConvBanned)))
	wantCode(t, second(h.File(ctx, ben, "f1")), protocol.CodeNotFound)
	h.must(second(h.Conversations.Delete(ctx, ann, room, protocol.ConvChange{Seq: sent.Seq})))
	wantCode(t, second(h.File(ctx, ann, "f1")), protocol.CodeNotFound)
	h.must(h.Attach(ctx, ann, other, conversations.File{ConvFile: protocol.ConvFile{ID: "f5"}, Stored: "f5"}))
	h.must(h.Remove(ctx, ann, other))
	_, _ = h.Step(ctx, "files")
	if fmt.Sprint(h.deleted) != "[f3 f1 f2 f5]" && fmt.Sprint(h.deleted) != "[f3 f5 f1 f2]" {
		t.Errorf("deleted %v", h.deleted)
	}
}

// TestReconcile: what was made to differ is counted; the number of members, the activity and the cache are mended.
func TestReconcile(t *testing.T) {
	t.Parallel()
	h, f := openFaulty(t)
	ann, ben := h.user("ann"), h.user("ben")
	room := h.group(ann, ben)
	h.send(ann, room, "1", "hello")
	h.must(second(h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{})))
	differs := func(want string) {
		t.Helper()
		h.step("reconcile")
		var got []string
		for _, kind := range []string{"revision", "mark", "members", "activity", "cache"} {
			for range int(h.counted("rondo_conversations_inconsistencies_total", kind)) {
				got = append(got, kind)
			}
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	differs("[]")
	row, _ := h.row(room)
	row.Members, row.Active = 7, row.Active+1
	h.must(h.store.Write(t.Context(), "test", func(tx conversations.Tx) error { return tx.UpdateConversation(row) }))
	differs("[members activity]")
	if now, _ := h.row(room); now.Members != 2 || now.Active != row.Active-1 {
		t.Errorf("%+v", now)
	}
	differs("[members activity]") // no more than before
	h.must(second(h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{})))
	now, _ := h.row(room)
	h.must(f.Drop(t.Context(), room, now.Seq+1))
	_, _, lease, err := f.Get(t.Context(), room, 1)
	h.must(err)
	h.must(f.Cache.Fill(t.Context(), room, lease, conversations.Newest{Seq: now.Seq + 1, Whole: true}))
	h.must(h.store.Write(t.Context(), "test", func(tx conversations.Tx) error {
		_, err := tx.Draw(room, 1) // a number without a change
		if err == nil {
			_, err = tx.Mark(room, "u_ben", 1000, 1000)
		}
		return err
	}))
	differs("[mark members activity cache]")
	page, err := h.History(t.Context(), ben, room, protocol.ConvHistoryQuery{})
	h.must(err)
	wantTexts(t, page.Messages, "hello")
	h.must(h.store.Write(t.Context(), "test", func(tx conversations.Tx) error {
		m, err := tx.Member(room, "u_ben")
		m.Rev = 1000
		if err == nil {
			err = tx.PutMember(m)
		}
		return err
	}))
	differs("[revision mark mark members activity cache]")
}

// counted is the sum of a counter with the value of its first label, of the node that was made last.
func (h *house) counted(name, value string) (sum float64) {
	h.t.Helper()
	families, err := h.reg.Gather()
	h.must(err)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if m.GetLabel()[0].GetValue() == value {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// TestLeases: one node runs a job; when it is gone for long enough, another one does.
func TestLeases(t *testing.T) {
	t.Parallel()
	h := open(t, func(cfg *conversations.Config) { cfg.Sinks = []string{"s"} })
	n2 := h.node("n2")
	for _, job := range conversations.Jobs() {
		if job == "flush" {
			continue
		}
		if a, b := h.Round(t.Context(), job), n2.Round(t.Context(), job); !a || b {
			t.Errorf("%s: %v and %v have it", job, a, b)
		}
	}
	h.advance(time.Hour)
	if a, b := n2.Round(t.Context(), "trim"), h.Round(t.Context(), "trim"); !a || b {
		t.Errorf("an hour later %v and %v have it", a, b)
	}
	if n, err := testutil.GatherAndCount(h.reg); err != nil || n == 0 {
		t.Error(n, err)
	}
}

// TestRun: all jobs start, what a node told is marked when it ends, and nothing is left running.
func TestRun(t *testing.T) {
	t.Parallel()
	h := open(t, func(cfg *conversations.Config) { cfg.Sinks = []string{"s"} })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	h.user("ben")
	h.create(h.user("ann"), protocol.ConvCreate{Kind: protocol.ConvDirect, With: "ben"})
	testenv.Eventually(t, 30*time.Second, func() bool { return h.counted("rondo_conversations_jobs_total", "sequence") > 0 }, "the sequencer does not run")
	cancel()
	<-done
	h.advance(time.Minute)
	h.must(h.store.Read(t.Context(), "test", func(r conversations.Reader) error {
		list, err := r.Untold(h.now().UnixMilli(), 10)
		if len(list) > 0 {
			t.Errorf("%d events were told and not marked", len(list))
		}
		return err
	}))
}

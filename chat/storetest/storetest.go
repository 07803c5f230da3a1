// Package storetest is the conformance suite of chat.Store: what each method
// promises, and what the Log promises over it.
package storetest

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rondo-chat/rondo/chat"
	"github.com/rondo-chat/rondo/protocol"
)

// Run runs the suite. open returns an empty store with that retention each time.
func Run(t *testing.T, open func(testing.TB, chat.Retention) chat.Store) {
	tests := []struct {
		name string
		run  func(*testing.T, func(testing.TB, chat.Retention) chat.Store)
	}{
		{"Append", testAppend},
		{"Pages", testPages},
		{"Retention", testRetention},
		{"Drop", testDrop},
		{"Text", testText},
		{"Concurrent", testConcurrent},
		{"RandomPlans", testRandomPlans},
		{"Behind", testBehind},
		{"Union", testUnion},
		{"Gone", testGone},
		{"Forget", testForget},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open) })
	}
}

func newLog(t testing.TB, s chat.Store) *chat.Log {
	t.Helper()
	l, err := chat.New(chat.Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func message(from, cid, text string) chat.Message {
	return chat.Message{User: "g_" + protocol.UserID(from), ChatMessage: protocol.ChatMessage{
		From: protocol.MemberID(from), Name: "N" + from, CID: cid, Text: text}}
}

func send(t testing.TB, l *chat.Log, room protocol.RoomID, m chat.Message) chat.Message {
	t.Helper()
	got, dup, err := l.Send(t.Context(), room, m)
	if err != nil || dup {
		t.Fatalf("Send %+v = dup %v, %v", m, dup, err)
	}
	return got
}

func history(t testing.TB, l *chat.Log, room protocol.RoomID, q protocol.ChatQuery) protocol.ChatHistory {
	t.Helper()
	h, err := l.History(t.Context(), room, q)
	if err != nil {
		t.Fatalf("History %+v: %v", q, err)
	}
	return h
}

func since(off uint64) *uint64 { return &off }

// offs shows a page as "first-last/newest" with "+" for more.
func offs(h protocol.ChatHistory) string {
	s := "none"
	if n := len(h.Messages); n > 0 {
		s = fmt.Sprintf("%d-%d", h.Messages[0].Off, h.Messages[n-1].Off)
		for i, m := range h.Messages {
			if m.Off != h.Messages[0].Off+uint64(i) {
				s = fmt.Sprintf("gap at %d", m.Off)
			}
		}
	}
	s += fmt.Sprintf("/%d", h.Off)
	if h.More {
		s += "+"
	}
	return s
}

func testAppend(t *testing.T, open func(testing.TB, chat.Retention) chat.Store) {
	s := open(t, chat.Retention{})
	at := []int64{1000, 3000, 2000, 4000}
	want := []int64{1000, 3000, 3000, 4000} // time never runs backwards
	for i := range at {
		m := message("1", "c"+strconv.Itoa(i), "text")
		m.Room, m.At = "r", at[i]
		a, err := s.Append(t.Context(), m, chat.Mark{})
		got, dup := a.Message, a.Dup
		m.Off, m.At = uint64(i+1), want[i]
		if err != nil || dup || got != m {
			t.Fatalf("Append = %+v, %v, %v, want %+v", got, dup, err, m)
		}
	}
	again := message("1", "c1", "another text")
	again.Room, again.At = "r", 9000
	a, err := s.Append(t.Context(), again, chat.Mark{})
	got, dup := a.Message, a.Dup
	if err != nil || !dup || got.Off != 2 || got.Text != "text" || got.At != 3000 || got.User != "g_1" || got.Room != "r" {
		t.Fatalf("a retry gave %+v, %v, %v", got, dup, err)
	}
	again.From = "2" // the same cid of another member is another message
	if a, err = s.Append(t.Context(), again, chat.Mark{}); err != nil || a.Dup || a.Message.Off != 5 {
		t.Fatalf("another member's cid gave %+v, %v", a, err)
	}
	again.Room = "q"
	if a, err = s.Append(t.Context(), again, chat.Mark{}); err != nil || a.Dup || a.Message.Off != 1 {
		t.Fatalf("another room gave %+v, %v", a, err)
	}
}

func testPages(t *testing.T, open func(testing.TB, chat.Retention) chat.Store) {
	l := newLog(t, open(t, chat.Retention{}))
	if got := offs(history(t, l, "empty", protocol.ChatQuery{})); got != "none/0" {
		t.Fatalf("a room without messages: %s", got)
	}
	if h := history(t, l, "empty", protocol.ChatQuery{Since: since(5)}); h.Messages == nil {
		t.Fatal("no messages must be [] in JSON")
	}
	for i := range 120 {
		send(t, l, "r", message("1", "c"+strconv.Itoa(i), "t"+strconv.Itoa(i+1)))
	}
	for _, test := range []struct {
		q    protocol.ChatQuery
		want string
	}{
		{protocol.ChatQuery{}, "71-120/120+"},
		{protocol.ChatQuery{Limit: 100}, "21-120/120+"},
		{protocol.ChatQuery{Limit: 1}, "120-120/120+"},
		{protocol.ChatQuery{Before: 71}, "21-70/120+"},
		{protocol.ChatQuery{Before: 21, Limit: 20}, "1-20/120"},
		{protocol.ChatQuery{Before: 21, Limit: 19}, "2-20/120+"},
		{protocol.ChatQuery{Before: 2}, "1-1/120"},
		{protocol.ChatQuery{Before: 1}, "none/120"},
		{protocol.ChatQuery{Before: 1000, Limit: 2}, "119-120/120+"},
		{protocol.ChatQuery{Before: 1<<64 - 1, Limit: 2}, "119-120/120+"},
		{protocol.ChatQuery{Since: since(0)}, "1-50/120+"},
		{protocol.ChatQuery{Since: since(0), Limit: 100}, "1-100/120+"},
		{protocol.ChatQuery{Since: since(20), Limit: 100}, "21-120/120"},
		{protocol.ChatQuery{Since: since(119)}, "120-120/120"},
		{protocol.ChatQuery{Since: since(120)}, "none/120"},
		{protocol.ChatQuery{Since: since(121)}, "none/120"},
		{protocol.ChatQuery{Since: since(1<<64 - 1)}, "none/120"},
	} {
		if got := offs(history(t, l, "r", test.q)); got != test.want {
			t.Errorf("%+v gave %s, want %s", test.q, got, test.want)
		}
	}
	h := history(t, l, "r", protocol.ChatQuery{Before: 8, Limit: 1})
	m := h.Messages[0]
	if m.Text != "t7" || m.From != "1" || m.Name != "N1" || m.CID != "c6" || m.At == 0 {
		t.Errorf("message 7 is %+v", m)
	}
}

func testRetention(t *testing.T, open func(testing.TB, chat.Retention) chat.Store) {
	l := newLog(t, open(t, chat.Retention{Messages: 5}))
	for i := range 12 {
		send(t, l, "r", message("1", "c"+strconv.Itoa(i), "text"))
	}
	for q, want := range map[*protocol.ChatQuery]string{
		{}:                          "8-12/12",
		{Since: since(3)}:           "8-12/12", // 4 to 7 are gone, and one can see it
		{Since: since(9)}:           "10-12/12",
		{Before: 10}:                "8-9/12",
		{Before: 8}:                 "none/12",
		{Since: since(0), Limit: 2}: "8-9/12+",
	} {
		if got := offs(history(t, l, "r", *q)); got != want {
			t.Errorf("%+v gave %s, want %s", *q, got, want)
		}
	}
	if got, dup, err := l.Send(t.Context(), "r", message("1", "c7", "text")); err != nil || !dup || got.Off != 8 {
		t.Errorf("retry of a kept message: %+v, %v, %v", got, dup, err)
	}
	if got := send(t, l, "r", message("1", "c6", "text")); got.Off != 13 {
		t.Errorf("a cid as old as that is new again: %+v", got)
	}

	heavy := newLog(t, open(t, chat.Retention{Bytes: 1000}))
	for i := range 5 {
		send(t, heavy, "r", message("1", "c"+strconv.Itoa(i), strings.Repeat("x", 250)))
	}
	if got := offs(history(t, heavy, "r", protocol.ChatQuery{})); got != "3-5/5" {
		t.Errorf("within 1000 bytes: %s, want 3-5/5", got)
	}
	send(t, heavy, "r", message("1", "big", strings.Repeat("x", 5000)))
	if got := offs(history(t, heavy, "r", protocol.ChatQuery{})); got != "6-6/6" {
		t.Errorf("the newest stays, whatever its size: %s", got)
	}
	send(t, heavy, "r", message("1", "small", "x"))
	send(t, heavy, "r", message("1", "small2", "x"))
	if got := offs(history(t, heavy, "r", protocol.ChatQuery{})); got != "7-8/8" {
		t.Errorf("after the big one: %s", got)
	}
}

func testDrop(t *testing.T, open func(testing.TB, chat.Retention) chat.Store) {
	l := newLog(t, open(t, chat.Retention{}))
	send(t, l, "r", message("1", "c", "text"))
	send(t, l, "q", message("1", "c", "text"))
	if err := l.Touch(t.Context(), []protocol.RoomID{"r", "none", "not an id"}); err != nil {
		t.Fatal(err)
	}
	for _, room := range []protocol.RoomID{"r", "r", "none", "not an id"} {
		if err := l.Drop(t.Context(), room); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Touch(t.Context(), []protocol.RoomID{"r"}); err != nil {
		t.Fatal(err)
	}
	if h, err := l.History(t.Context(), "r", protocol.ChatQuery{}); protocol.CodeOf(err) != protocol.CodeForbidden {
		t.Fatalf("a dropped room: %+v, %v", h, err)
	}
	if got := offs(history(t, l, "q", protocol.ChatQuery{})); got != "1-1/1" {
		t.Fatalf("the other room: %s", got)
	}
}

// testText: whatever a text holds comes back as it was.
func testText(t *testing.T, open func(testing.TB, chat.Retention) chat.Store) {
	l := newLog(t, open(t, chat.Retention{}))
	for i, text := range []string{
		"a\nb\n1\n2\n3", "\n", "\t", `{"off":9}`, "\\n", "é 👩‍👩‍👧 \u202e \u2028 <b>&amp;", "\x00\x01", "EOF'\"`$(x)", "}{", strings.Repeat("ä", protocol.MaxChatBytes/2),
	} {
		m := message("1", "c"+strconv.Itoa(i), text)
		m.Name = text[:min(len(text), 10)]
		if strings.ToValidUTF8(m.Name, "") != m.Name {
			m.Name = "N"
		}
		got := send(t, l, "r", m)
		again, dup, err := l.Send(t.Context(), "r", m)
		if err != nil || !dup || again != got || got.Text != text || got.Name != m.Name {
			t.Fatalf("%q came back as %q (%v, %v)", text, again.Text, dup, err)
		}
		h := history(t, l, "r", protocol.ChatQuery{Limit: 1})
		if h.Messages[0] != got.ChatMessage {
			t.Fatalf("%q is read as %+v", text, h.Messages[0])
		}
	}
}

// testConcurrent: many senders, each sending each message several times at once:
// one order without gaps or doubles, the same answer for each retry.
func testConcurrent(t *testing.T, open func(testing.TB, chat.Retention) chat.Store) {
	s := open(t, chat.Retention{})
	logs := []*chat.Log{newLog(t, s), newLog(t, s)}
	const senders, each = 8, 12
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first = map[string]chat.Message{}
		news  int
	)
	for i := range senders {
		wg.Go(func() {
			from := strconv.Itoa(i + 1)
			for n := range each {
				m := message(from, "c"+strconv.Itoa(n), from+" "+strconv.Itoa(n))
				var tries sync.WaitGroup
				for try := range 3 {
					tries.Go(func() {
						got, dup, err := logs[try%2].Send(t.Context(), "r", m)
						if err != nil {
							t.Errorf("Send: %v", err)
							return
						}
						mu.Lock()
						defer mu.Unlock()
						if !dup {
							news++
						}
						if before, ok := first[m.Text]; ok && before != got {
							t.Errorf("two answers to one message: %+v and %+v", before, got)
						}
						first[m.Text] = got
					})
				}
				tries.Wait()
			}
		})
	}
	wg.Wait()
	if news != senders*each {
		t.Errorf("%d messages were stored of %d", news, senders*each)
	}
	h := history(t, logs[0], "r", protocol.ChatQuery{Limit: 100})
	if got := offs(h); got != fmt.Sprintf("1-%d/%d", senders*each, senders*each) {
		t.Fatalf("at the end: %s", got)
	}
	next := map[protocol.MemberID]int{}
	at := int64(0)
	for _, m := range h.Messages {
		if want := fmt.Sprintf("%s %d", m.From, next[m.From]); m.Text != want {
			t.Errorf("off %d is %q, want %q: a sender's order is lost", m.Off, m.Text, want)
		}
		next[m.From]++
		if m.At < at {
			t.Errorf("off %d: time runs backwards", m.Off)
		}
		at = m.At
	}
}

// model is a room as simply as it can be told: all messages ever, and how many
// of the newest are kept.
type model struct {
	all  []protocol.ChatMessage
	kept int
}

func testRandomPlans(t *testing.T, open func(testing.TB, chat.Retention) chat.Store) {
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		keep := chat.Retention{Messages: 1 + rnd.IntN(8), Bytes: 200 + rnd.IntN(2000)}
		l := newLog(t, open(t, keep))
		names, models := [2]protocol.RoomID{"r", "q"}, [2]*model{{}, {}}
		for step := range 150 {
			i := rnd.IntN(2)
			room, m := names[i], models[i]
			switch what := rnd.IntN(20); {
			case what < 12:
				msg := message(strconv.Itoa(1+rnd.IntN(2)), "c"+strconv.Itoa(rnd.IntN(15)), strings.Repeat("x", 1+rnd.IntN(400)))
				got, dup, err := l.Send(t.Context(), room, msg)
				want, wantDup := m.send(msg, got.At, keep)
				if err != nil || dup != wantDup || got.ChatMessage != want {
					t.Fatalf("seed %d step %d: Send = %+v, %v, %v\nwant %+v, %v", seed, step, got, dup, err, want, wantDup)
				}
			case what < 19:
				q := protocol.ChatQuery{Limit: rnd.IntN(6)}
				bound := uint64(rnd.IntN(len(m.all) + 3))
				switch rnd.IntN(3) {
				case 0:
					q.Since = &bound
				case 1:
					q.Before = bound
				}
				got, want := history(t, l, room, q), m.page(q)
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d step %d: History %+v = %s\nwant %s", seed, step, q, offs(got), offs(want))
				}
			default:
				if err := l.Drop(t.Context(), room); err != nil {
					t.Fatal(err)
				}
				names[i] += "x" // an id is not used again
				*m = model{}
			}
		}
	}
}

func (m *model) keptMessages() []protocol.ChatMessage { return m.all[len(m.all)-m.kept:] }

func (m *model) send(msg chat.Message, at int64, keep chat.Retention) (protocol.ChatMessage, bool) {
	for _, old := range m.keptMessages() {
		if old.From == msg.From && old.CID == msg.CID {
			return old, true
		}
	}
	msg.Off, msg.At = uint64(len(m.all)+1), at
	m.all = append(m.all, msg.ChatMessage)
	m.kept++
	weight := func() (sum int) {
		for _, k := range m.keptMessages() {
			sum += len(k.Text) + len(k.Name) + len(k.CID) + len(k.From) + len("g_1") + 64
		}
		return sum
	}
	for m.kept > 1 && (m.kept > keep.Messages || weight() > keep.Bytes) {
		m.kept--
	}
	return msg.ChatMessage, false
}

func (m *model) page(q protocol.ChatQuery) protocol.ChatHistory {
	limit := q.Limit
	if limit == 0 {
		limit = chat.DefaultPage
	}
	fits := slices.Clone(m.keptMessages())
	fits = slices.DeleteFunc(fits, func(c protocol.ChatMessage) bool {
		return q.Since != nil && c.Off <= *q.Since || q.Before != 0 && c.Off >= q.Before
	})
	h := protocol.ChatHistory{Off: uint64(len(m.all)), More: len(fits) > limit}
	if h.More && q.Since != nil {
		fits = fits[:limit]
	} else if h.More {
		fits = fits[len(fits)-limit:]
	}
	h.Messages = append([]protocol.ChatMessage{}, fits...)
	return h
}

func testForget(t *testing.T, open func(testing.TB, chat.Retention) chat.Store) {
	s := open(t, chat.Retention{Messages: 5})
	l := newLog(t, s)
	for i, from := range []string{"1", "2", "1", "1"} {
		send(t, l, "r", message(from, "c"+strconv.Itoa(i), `"user":"g_1" \"user\":\"g_1\"`))
		send(t, l, "q", message("3", "c"+strconv.Itoa(i), "text"))
	}
	unknown := message("1", "unknown", "by a member whose user another node did not know")
	unknown.User = ""
	send(t, l, "r", unknown)
	for range 2 { // it may be repeated
		if err := l.Forget(t.Context(), "g_1"); err != nil {
			t.Fatal(err)
		}
	}
	if h := history(t, l, "r", protocol.ChatQuery{}); len(h.Messages) != 1 || h.Messages[0].Off != 2 || h.Messages[0].From != "2" || h.Off != 5 || h.More {
		t.Errorf("there is %+v", h)
	}
	if h := history(t, l, "q", protocol.ChatQuery{}); offs(h) != "1-4/4" {
		t.Errorf("of another there is %s", offs(h))
	}
	// Offsets go on, what was forgotten weighs nothing, and may be said again.
	for i := range 4 {
		if m := send(t, l, "r", message("1", "c"+strconv.Itoa(i), "again")); m.Off != uint64(6+i) {
			t.Errorf("the next has the offset %d", m.Off)
		}
	}
	if h := history(t, l, "r", protocol.ChatQuery{}); len(h.Messages) != 5 || h.Messages[0].Off != 2 {
		t.Errorf("there is %+v", h)
	}
}

package client

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// viewing opens a view of c_1 that has the messages 1 to 3; the conversation is at 3.
func viewing(t *testing.T, c *Client, s *fakeSocket, o ViewOptions, early ...string) *View {
	t.Helper()
	type result struct {
		v   *View
		err error
	}
	got := make(chan result, 1)
	go func() {
		v, err := c.Conversation("c_1").View(context.Background(), o)
		got <- result{v, err}
	}()
	m := s.read(protocol.TypeConvOpen)
	for _, e := range early {
		s.send("%s", e)
	}
	s.send(`{"t":"ok","id":%d,"d":%s}`, m.ID, opened(3, 1, 2, 3))
	r := <-got
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.v
}

// opened is the answer to conv.open at a number, with messages.
func opened(at int, seqs ...int) string {
	list := ""
	for _, seq := range seqs {
		list += "," + message(seq, seq, "old")
	}
	return fmt.Sprintf(`{"conversation":{"id":"c_1","kind":"group","writers":"members","rev":1,"seq":%[1]d},"people":[{"id":"u_2","name":"Bo","role":"member","rev":1}],"pins":[],
		"history":{"seq":%[1]d,"messages":[%[2]s],"older":false,"newer":false},"unread":0,"online":2,"here":["g_1","u_2"]}`, at, list[1:])
}

func message(seq, rev int, text string) string {
	return fmt.Sprintf(`{"seq":%[1]d,"rev":%[2]d,"from":"u_2","name":"Bo","cid":"c%[1]d","text":%[3]q,"at":1}`, seq, rev, text)
}

func event(seq, after int, message string) string {
	if after != 0 {
		return fmt.Sprintf(`{"t":"conv.event","room":"c_1","d":{"room":"c_1","seq":%d,"after":%d,"at":1,"message":%s}}`, seq, after, message)
	}
	return fmt.Sprintf(`{"t":"conv.event","room":"c_1","d":{"room":"c_1","seq":%d,"at":1,"message":%s}}`, seq, message)
}

func says(t *testing.T, v *View, want ...string) {
	t.Helper()
	said := func() (all []string) {
		messages, _ := v.Messages()
		for _, m := range messages {
			all = append(all, fmt.Sprint(m.Seq, m.Text))
		}
		return all
	}
	testenv.Eventually(t, 10*time.Second, func() bool { return slices.Equal(said(), want) }, "messages %v", want)
}

func TestViewAppliesEvents(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	v := viewing(t, c, s, ViewOptions{}, event(4, 0, message(4, 4, "early")))
	says(t, v, "1old", "2old", "3old", "4early")
	s.send("%s", event(2, 0, message(2, 2, "known")))
	s.send("%s", event(5, 0, message(1, 5, "edited")))
	s.send("%s", event(9, 5, message(2, 9, "told late"))) // 6 to 8 were of message 2 too
	s.send("%s", event(10, 0, message(10, 10, "ten")))
	says(t, v, "1edited", "2told late", "3old", "4early", "10ten")
	testenv.Eventually(t, 10*time.Second, func() bool { return v.Seq() == 10 }, "all is known")
	s.send(`{"t":"conv.marks","room":"c_1","d":{"user":"u_2","delivered":10,"read":9}}`)
	s.send(`{"t":"conv.typing","room":"c_1","d":{"on":true,"user":"u_2","name":"Bo"}}`)
	s.send(`{"t":"conv.presence","room":"c_1","d":{"online":7,"here":[]}}`)
	testenv.Eventually(t, 10*time.Second, func() bool {
		p := v.People()["u_2"]
		return p.Read == 9 && p.Delivered == 10 && v.Presence().Online == 7 && slices.Equal(v.Writing(), []protocol.UserID{"u_2"})
	}, "marks, typing and presence")
	s.send(`{"t":"conv.removed","room":"c_1","d":{}}`)
	testenv.Eventually(t, 10*time.Second, v.Removed, "it is over")
	s.send(`{"t":"conv.event","room":"c_2","d":{"room":"c_2","seq":1,"at":1}}`)
	if ev := next[ConvEvent](t, c); ev.Room != "c_2" { // nothing before it came as an event
		t.Errorf("%+v", ev)
	}
}

func TestViewAsksForWhatIsMissing(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	v := viewing(t, c, s, ViewOptions{})
	s.send("%s", event(6, 0, message(6, 6, "six")))
	q := s.read(protocol.TypeConvSync)
	if string(q.D) != `{"since":3,"limit":500}` {
		t.Errorf("asked %s", q.D)
	}
	s.send("%s", event(9, 0, message(9, 9, "nine"))) // 7 and 8 are missing too
	s.send(`{"t":"err","id":%d,"e":{"code":"unavailable","msg":"not now","retry_ms":10}}`, q.ID)
	q = s.read(protocol.TypeConvSync)
	s.send(`{"t":"ok","id":%d,"d":{"seq":5,"more":true,"messages":[%s,%s],"people":[]}}`, q.ID, message(4, 4, "four"), message(5, 5, "five"))
	q = s.read(protocol.TypeConvSync)
	s.send(`{"t":"ok","id":%d,"d":{"seq":6,"messages":[%s],"people":[]}}`, q.ID, message(6, 6, "six"))
	q = s.read(protocol.TypeConvSync)
	if string(q.D) != `{"since":6,"limit":500}` {
		t.Errorf("asked %s", q.D)
	}
	s.send(`{"t":"ok","id":%d,"d":{"seq":9,"messages":[%s,%s],"people":[]}}`, q.ID, message(7, 7, "seven"), message(9, 9, "nine"))
	says(t, v, "1old", "2old", "3old", "4four", "5five", "6six", "7seven", "9nine")
	// Too much: it is read afresh.
	s.send("%s", event(5000, 0, message(5000, 5000, "much later")))
	q = s.read(protocol.TypeConvSync)
	s.send(`{"t":"ok","id":%d,"d":{"seq":5000,"reset":true,"messages":[],"people":[]}}`, q.ID)
	q = s.read(protocol.TypeConvOpen)
	s.send("%s", event(5001, 0, message(5001, 5001, "and more")))
	s.send(`{"t":"ok","id":%d,"d":%s}`, q.ID, opened(5000, 4999, 5000))
	says(t, v, "4999old", "5000old", "5001and more")
}

func TestViewGoesOnAfterALoss(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	v := viewing(t, c, s, ViewOptions{})
	c.Break()
	s = f.accept()
	s.resume("r2", "")
	q := s.read(protocol.TypeConvOpen)
	if string(q.D) != `{"since":3,"limit":50}` {
		t.Errorf("asked %s", q.D)
	}
	c.Break() // before the answer
	s = f.accept()
	m := s.read(protocol.TypeResume)
	s.send(`{"t":"err","id":%d,"e":{"code":"resume_expired","msg":"gone"}}`, m.ID)
	s.welcome(25000)
	q = s.read(protocol.TypeConvOpen)
	s.send(`{"t":"ok","id":%d,"d":{"conversation":{"id":"c_1","kind":"group","writers":"members","rev":1,"seq":4},"people":[],"pins":[],
		"sync":{"seq":4,"messages":[%s],"people":[]},"unread":0,"online":1,"here":[]}}`, q.ID, message(4, 4, "meanwhile"))
	says(t, v, "1old", "2old", "3old", "4meanwhile")
}

func TestViewSendsUntilItIsKept(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	v := viewing(t, c, s, ViewOptions{})
	send := func(text string) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := v.Send(context.Background(), protocol.ConvSend{Text: text})
			done <- err
		}()
		return done
	}
	done := send("hello")
	m := s.read(protocol.TypeConvSend)
	if d := v.Drafts(); len(d) != 1 || d[0].Text != "hello" || d[0].Err != nil {
		t.Errorf("drafts %+v", d)
	}
	first, err := decode[protocol.ConvSend](m.D)
	if err != nil || first.CID == "" {
		t.Fatal(first, err)
	}
	s.send(`{"t":"err","id":%d,"e":{"code":"unavailable","msg":"not now","retry_ms":10}}`, m.ID)
	m = s.read(protocol.TypeConvSend)
	if again, err := decode[protocol.ConvSend](m.D); err != nil || again.CID != first.CID {
		t.Errorf("sent again as %+v, %v", again, err)
	}
	own := fmt.Sprintf(`{"seq":4,"rev":4,"from":"g_1","name":"Ann","cid":%q,"text":"hello","at":1}`, first.CID)
	s.send("%s", event(4, 0, own)) // before the answer
	testenv.Eventually(t, 10*time.Second, func() bool { return len(v.Drafts()) == 0 }, "it has its place")
	s.send(`{"t":"ok","id":%d,"d":{"message":%s,"seq":4}}`, m.ID, own)
	if err := <-done; err != nil {
		t.Error(err)
	}
	says(t, v, "1old", "2old", "3old", "4hello")

	done = send("bad words")
	m = s.read(protocol.TypeConvSend)
	s.send(`{"t":"err","id":%d,"e":{"code":"forbidden","msg":"not here"}}`, m.ID)
	if err := <-done; protocol.CodeOf(err) != protocol.CodeForbidden {
		t.Error(err)
	}
	d := v.Drafts()
	if len(d) != 1 || protocol.CodeOf(d[0].Err) != protocol.CodeForbidden {
		t.Fatalf("drafts %+v", d)
	}
	v.Discard(d[0].CID)
	if len(v.Drafts()) != 0 {
		t.Error("it is still there")
	}
}

func TestViewKeepsSoMuch(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	v := viewing(t, c, s, ViewOptions{Keep: 4, Page: 2})
	for seq := 4; seq <= 8; seq++ {
		s.send("%s", event(seq, 0, message(seq, seq, "new")))
	}
	says(t, v, "5new", "6new", "7new", "8new")
	if _, older := v.Messages(); !older {
		t.Error("there are older ones")
	}
	more := make(chan bool, 1)
	go func() { m, _ := v.Older(context.Background()); more <- m }()
	q := s.read(protocol.TypeConvHistory)
	if string(q.D) != `{"before":5,"limit":2}` {
		t.Errorf("asked %s", q.D)
	}
	s.send(`{"t":"ok","id":%d,"d":{"seq":8,"messages":[%s,%s],"older":true,"newer":true}}`, q.ID, message(3, 3, "old"), message(4, 4, "new"))
	if !<-more {
		t.Error("there is one more")
	}
	says(t, v, "3old", "4new", "5new", "6new", "7new", "8new")
}

package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

func TestHelloAndRequest(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{Name: "Ann"})
	if w := c.Welcome(); w.SID != "s_1" || w.Guest != "gt" || w.User.Name != "Ann" {
		t.Fatalf("welcome %+v", w)
	}
	go func() {
		m := s.read(protocol.TypeMatchFind)
		s.send(`{"t":"ok","id":%d,"d":{"pool":"video","reach":"tags","waiting":1}}`, m.ID)
		m = s.read(protocol.TypeStats)
		s.send(`{"t":"err","id":%d,"e":{"code":"rate_limited","msg":"slow down","retry_ms":1500}}`, m.ID)
	}()
	w, err := c.Find(t.Context(), protocol.Find{Tags: []string{"jazz"}})
	if err != nil || w.Pool != "video" {
		t.Fatalf("find: %+v, %v", w, err)
	}
	_, err = c.Stats(t.Context())
	var pe *protocol.Error
	if !errors.As(err, &pe) || pe.Code != protocol.CodeRateLimited || pe.Retry != 1500*time.Millisecond {
		t.Fatalf("stats: %v", err)
	}
}

func TestRequestGivenUp(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		s.read(protocol.TypeStats)
		cancel()
	}()
	if _, err := c.Stats(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.send(`{"t":"ok","id":2,"d":{}}`) // late: nobody minds
	s.send(`{"t":"peer.left","seq":1,"room":"r","d":{"peer":"2","reason":"next"}}`)
	if ev := next[PeerLeft](t, c); ev.Reason != protocol.LeaveNext {
		t.Fatalf("%+v", ev)
	}
}

func TestEventsInOrderOnce(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	s.send(`{"t":"match.waiting","d":{"pool":"video","waiting":2}}`)
	s.send(`{"t":"match.found","seq":1,"room":"k","d":{"pool":"video","mode":"video","you":"1","peer":{"id":"2","name":"Bo"},"offerer":true}}`)
	s.send(`{"t":"signal","seq":2,"room":"k","from":"2","kind":"offer","d":{"sdp":"x"}}`)
	s.send(`{"t":"signal","seq":2,"room":"k","from":"2","kind":"offer","d":{"sdp":"x"}}`)
	s.send(`{"t":"typing","room":"k","from":"2","d":{"on":true}}`)
	s.send(`{"t":"peer.reconnecting","seq":3,"room":"k","d":{"peer":"2"}}`)
	s.send(`{"t":"peer.back","seq":4,"room":"k","d":{"peer":"2","fresh":true}}`)
	s.send(`{"t":"new.thing","room":"k","d":{"a":1}}`)
	s.send(`{"t":"err","e":{"code":"stale_call","msg":"no"}}`)
	if ev := next[Waiting](t, c); ev.Waiting.Waiting != 2 {
		t.Fatalf("%+v", ev)
	}
	if ev := next[Found](t, c); ev.Room != "k" || !ev.Offerer || ev.Peer.Name != "Bo" {
		t.Fatalf("%+v", ev)
	}
	if ev := next[Signal](t, c); ev.Kind != protocol.SignalOffer || string(ev.D) != `{"sdp":"x"}` || ev.From != "2" {
		t.Fatalf("%+v", ev)
	}
	if ev := next[Typing](t, c); !ev.On || ev.From != "2" {
		t.Fatalf("%+v", ev)
	}
	next[PeerReconnecting](t, c)
	if ev := next[PeerBack](t, c); !ev.Fresh {
		t.Fatalf("%+v", ev)
	}
	if ev := next[Unknown](t, c); ev.Type != "new.thing" {
		t.Fatalf("%+v", ev)
	}
	if ev := next[Refused](t, c); protocol.CodeOf(ev.Err) != protocol.CodeStaleCall {
		t.Fatalf("%+v", ev)
	}
}

func TestAcks(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	for i := range 40 {
		s.send(`{"t":"peer.reconnecting","seq":%d,"room":"k","d":{"peer":"2"}}`, i+1)
		next[PeerReconnecting](t, c)
	}
	for _, want := range []uint64{16, 32} {
		if m := s.read(protocol.TypeAck); m.Ack != want {
			t.Fatalf("ack %d, want %d", m.Ack, want)
		}
	}
	s.send(`{"t":"ping"}`)
	if m := s.read(protocol.TypePong); m.Ack != 40 {
		t.Fatalf("pong acks %d", m.Ack)
	}
}

func TestResume(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	s.send(`{"t":"peer.reconnecting","seq":1,"room":"k","d":{"peer":"2"}}`)
	next[PeerReconnecting](t, c)
	got := make(chan error, 1)
	go func() {
		_, err := c.Chat(context.Background(), "k", "hi")
		got <- err
	}()
	asked := s.read(protocol.TypeChat)
	s.conn.NetConn().Close()

	next[Down](t, c)
	s = f.accept()
	if r := s.resume("r2", `,"seq":2,"replayed":2`); r.Token != "r1" || r.Seq != 1 {
		t.Fatalf("resume %+v", r)
	}
	if up := next[Up](t, c); up.New || up.State != nil {
		t.Fatalf("%+v", up)
	}
	if again := s.read(protocol.TypeChat); again.ID != asked.ID || string(again.D) != string(asked.D) {
		t.Fatalf("sent again %+v, first %+v", again, asked)
	}
	s.send(`{"t":"peer.reconnecting","seq":1,"room":"k","d":{"peer":"2"}}`) // replayed too far
	s.send(`{"t":"peer.back","seq":2,"room":"k","d":{"peer":"2"}}`)
	s.send(`{"t":"ok","id":%d,"d":{"off":1,"at":5}}`, asked.ID)
	next[PeerBack](t, c)
	if err := <-got; err != nil {
		t.Fatal(err)
	}

	// The next socket resumes with the new token and sends nothing again.
	c.Break()
	next[Down](t, c)
	s = f.accept()
	if r := s.resume("r3", `,"seq":9,"resync":true,"state":{"user":{"id":"g_1","name":"Ann"},"match":null,"room":null}`); r.Token != "r2" || r.Seq != 2 {
		t.Fatalf("resume %+v", r)
	}
	if up := next[Up](t, c); up.State == nil {
		t.Fatal("no state")
	}
	s.send(`{"t":"peer.back","seq":10,"room":"k","d":{"peer":"2"}}`)
	next[PeerBack](t, c)
}

func TestGapBreaksTheSocket(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	s.send(`{"t":"peer.back","seq":3,"room":"k","d":{"peer":"2"}}`)
	next[Down](t, c)
	if r := f.accept().resume("r2", ""); r.Seq != 0 {
		t.Fatalf("resume %+v", r)
	}
}

func TestSessionLost(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{Name: "Ann"})
	got := make(chan error, 1)
	go func() {
		_, err := c.Stats(context.Background())
		got <- err
	}()
	s.read(protocol.TypeStats)
	c.Break()
	next[Down](t, c)
	s = f.accept()
	m := s.read(protocol.TypeResume)
	s.send(`{"t":"err","id":%d,"e":{"code":"resume_expired","msg":"gone"}}`, m.ID)
	m = s.read(protocol.TypeHello)
	h, _ := decode[protocol.Hello](m.D)
	if h.Guest != "gt" || h.Name != "Ann" {
		t.Fatalf("hello %+v", h)
	}
	s.send(`{"t":"welcome","id":%d,"d":`+welcomeD+`}`, m.ID, 25000)
	if err := <-got; !errors.Is(err, ErrSessionLost) {
		t.Fatal(err)
	}
	if up := next[Up](t, c); !up.New {
		t.Fatalf("%+v", up)
	}
	s.send(`{"t":"peer.back","seq":1,"room":"k","d":{"peer":"2"}}`) // numbers start anew
	next[PeerBack](t, c)
}

func TestCloseCodes(t *testing.T) {
	for _, tc := range []struct {
		code protocol.CloseCode
		back bool
	}{
		{protocol.CloseBye, false}, {protocol.CloseUTF8, false}, {1008, false}, {protocol.CloseTooBig, false},
		{1001, true}, {1012, true}, {protocol.CloseDrain, true}, {protocol.CloseInternal, true}, {protocol.CloseSlow, true},
		{protocol.CloseSilent, true}, {protocol.CloseAuth, false}, {protocol.CloseProtocol, false},
		{protocol.CloseBanned, false}, {protocol.CloseReplaced, false},
	} {
		t.Run(fmt.Sprint(tc.code), func(t *testing.T) {
			f := newFake(t)
			c, s := f.dial(Options{})
			s.close(tc.code, "why")
			if tc.back {
				if ev := next[Down](t, c); !IsClosed(ev.Err, tc.code) {
					t.Fatalf("%+v", ev)
				}
				f.accept().resume("r2", "")
				next[Up](t, c)
				return
			}
			if err := ended(t, c); !IsClosed(err, tc.code) {
				t.Fatal(err)
			}
		})
	}
}

func TestServerAdvice(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	began := time.Now()
	s.send(`{"t":"reconnect","d":{"after_ms":150}}`)
	s.close(protocol.CloseDrain, "drain")
	next[Down](t, c)
	s = f.accept()
	if d := time.Since(began); d < 150*time.Millisecond {
		t.Fatalf("came back after %v, was asked to wait 150 ms", d)
	}
	s.resume("r2", "")
	next[Up](t, c)
	began = time.Now()
	s.close(protocol.CloseRateLimited, "retry=120")
	next[Down](t, c)
	f.accept().resume("r3", "")
	if d := time.Since(began); d < 120*time.Millisecond {
		t.Fatalf("came back after %v, was asked to wait 120 ms", d)
	}
}

func TestSilentServerIsLeft(t *testing.T) {
	f := newFake(t)
	c, _ := f.dialPing(Options{Silence: 50 * time.Millisecond}, 50)
	if ev := next[Down](t, c); !errors.Is(ev.Err, errSilent) {
		t.Fatalf("%+v", ev)
	}
	f.accept().resume("r2", "")
	next[Up](t, c)
}

func TestRefusedUpgrade(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"code":"rate_limited"}`)
	}))
	defer srv.Close()
	_, err := Dial(t.Context(), "ws"+strings.TrimPrefix(srv.URL, "http"), Options{})
	var re *RefusedError
	if !errors.As(err, &re) || re.Status != 429 || re.Code != protocol.CodeRateLimited || re.Retry != 7*time.Second {
		t.Fatalf("%v", err)
	}
	if terminal(err) || advice(err) != 7*time.Second || !terminal(&RefusedError{Status: 403}) {
		t.Fatal("429 is not for ever, 403 is")
	}
}

func TestSlowReaderEndsTheClient(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{Queue: 4})
	for range 10 { // latest wins: dropped, no harm
		s.send(`{"t":"match.waiting","d":{}}`)
	}
	s.send(`{"t":"peer.back","seq":1,"room":"k","d":{"peer":"2"}}`)
	if err := ended(t, c); !errors.Is(err, ErrSlow) {
		t.Fatal(err)
	}
	if _, err := c.Stats(t.Context()); !errors.Is(err, ErrSlow) {
		t.Fatal(err)
	}
}

func TestSendIsSentAgainInOrder(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	for i := range 5 {
		if err := c.Send("k", "", protocol.SignalCandidate, map[string]int{"n": i}); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		s.read(protocol.TypeSignal)
	}
	c.Break()
	next[Down](t, c)
	for i := range 5 { // while there is no socket
		if err := c.Send("k", "", protocol.SignalCandidate, map[string]int{"n": 5 + i}); err != nil {
			t.Fatal(err)
		}
	}
	s = f.accept()
	s.resume("r2", "")
	for i := range 10 {
		m := s.read(protocol.TypeSignal)
		if want := fmt.Sprintf(`{"n":%d}`, i); string(m.D) != want {
			t.Fatalf("got %s, want %s", m.D, want)
		}
		if i == 3 {
			s.send(`{"t":"err","id":%d,"e":{"code":"stale_call","msg":"no"}}`, m.ID)
		}
	}
	next[Up](t, c)
	if ev := next[Refused](t, c); ev.Type != protocol.TypeSignal || ev.Room != "k" {
		t.Fatalf("%+v", ev)
	}
}

func TestChatGapIsFetched(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	chat := func(off int) string {
		return fmt.Sprintf(`{"off":%d,"from":"2","name":"Bo","cid":"c%d","text":"t","at":1}`, off, off)
	}
	joined := make(chan error, 1)
	go func() {
		st, err := c.Join(context.Background(), "k", "")
		if err == nil && st.Chat.Off != 4 {
			err = fmt.Errorf("state %+v", st)
		}
		joined <- err
	}()
	m := s.read(protocol.TypeRoomJoin)
	s.send(`{"t":"ok","id":%d,"d":{"room":"k","kind":"named","you":"1","chat":{"off":4,"messages":[]}}}`, m.ID)
	if err := <-joined; err != nil {
		t.Fatal(err)
	}
	for _, off := range []int{3, 5, 5, 8, 9} { // 3 is old, 5 comes twice, 6 and 7 are missing
		s.send(`{"t":"chat","room":"k","d":%s}`, chat(off))
	}
	q := s.read(protocol.TypeChatHistory)
	if string(q.D) != `{"since":5,"limit":100}` {
		t.Fatalf("asked %s", q.D)
	}
	s.send(`{"t":"err","id":%d,"e":{"code":"unavailable","msg":"not now","retry_ms":10}}`, q.ID)
	q = s.read(protocol.TypeChatHistory)
	s.send(`{"t":"ok","id":%d,"d":{"off":9,"messages":[%s],"more":true}}`, q.ID, chat(6))
	q = s.read(protocol.TypeChatHistory)
	s.send(`{"t":"chat","room":"k","d":%s}`, chat(10))
	s.send(`{"t":"ok","id":%d,"d":{"off":9,"messages":[%s,%s,%s],"more":false}}`, q.ID, chat(7), chat(8), chat(9))
	for want := uint64(5); want <= 10; want++ {
		if ev := next[Chat](t, c); ev.Off != want || ev.Room != "k" {
			t.Fatalf("got %d, want %d", ev.Off, want)
		}
	}
}

// TestChatOfARoomThatWasLeft: what waits for a gap is not delivered after one has left.
func TestChatOfARoomThatWasLeft(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	s.send(`{"t":"match.found","seq":1,"room":"k","d":{"you":"1","peer":{"id":"2"}}}`)
	next[Found](t, c)
	s.send(`{"t":"chat","room":"k","d":{"off":3,"from":"2","cid":"c","text":"t","at":1}}`)
	q := s.read(protocol.TypeChatHistory)
	s.send(`{"t":"err","id":%d,"e":{"code":"forbidden","msg":"you are not in that room"}}`, q.ID)
	s.send(`{"t":"match.found","seq":2,"room":"l","d":{"you":"1","peer":{"id":"2"}}}`)
	if ev := <-c.Events(); fmt.Sprintf("%T", ev) != "client.Found" {
		t.Fatalf("%+v", ev)
	}
}

// TestChatOfARoomThatEnds: what waits for a gap is delivered before the end.
func TestChatOfARoomThatEnds(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	s.send(`{"t":"match.found","seq":1,"room":"k","d":{"you":"1","peer":{"id":"2"}}}`)
	next[Found](t, c)
	s.send(`{"t":"chat","room":"k","d":{"off":3,"from":"2","cid":"c","text":"t","at":1}}`)
	s.read(protocol.TypeChatHistory)
	s.send(`{"t":"peer.left","seq":2,"room":"k","d":{"peer":"2","reason":"left"}}`)
	if ev := next[Chat](t, c); ev.Off != 3 {
		t.Fatalf("%+v", ev)
	}
	next[PeerLeft](t, c)
}

func TestClose(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	go func() {
		s.read(protocol.TypeBye)
		s.close(protocol.CloseBye, "bye")
	}()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil || !errors.Is(c.Err(), ErrClosed) {
		t.Fatal(err, c.Err())
	}
	if _, ok := <-c.Events(); ok {
		t.Fatal("events stay open")
	}
	if err := c.Send("k", "", protocol.SignalHangup, struct{}{}); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := c.Typing("k", true); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestAbandonWhileReconnecting(t *testing.T) {
	f := newFake(t)
	c, s := f.dial(Options{})
	s.conn.NetConn().Close()
	next[Down](t, c)
	f.accept() // never answers the resume
	c.Abandon()
	if !errors.Is(c.Err(), ErrClosed) {
		t.Fatal(c.Err())
	}
}

func TestDialContext(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		f.accept().read(protocol.TypeHello)
		cancel()
	}()
	if _, err := Dial(ctx, f.url, Options{}); err == nil {
		t.Fatal("welcome out of nowhere")
	}
}

// TestOneGoroutine holds the promise that thousands fit in a process.
func TestOneGoroutine(t *testing.T) {
	f := newFake(t)
	before := runtime.NumGoroutine()
	const n = 20
	for range n {
		f.dial(Options{})
	}
	// The fake server's side costs nothing: its handlers have returned.
	if per := float64(runtime.NumGoroutine()-before) / n; per > 2 {
		t.Fatalf("%.1f goroutines a client", per)
	}
}

func TestBackoff(t *testing.T) {
	b := backoff{min: time.Second, max: 8 * time.Second}
	for i, ceiling := range []time.Duration{1, 2, 4, 8, 8, 8} {
		if d := b.next(time.Minute); d < time.Minute || d >= time.Minute+ceiling*time.Second {
			t.Fatalf("try %d: %v", i, d)
		}
	}
	b.reset()
	if d := b.next(0); d >= time.Second {
		t.Fatal(d)
	}
}

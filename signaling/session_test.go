package signaling

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// Section 3 of docs/protocol.md.

func itoa(n int) string { return strconv.Itoa(n) }

func (c *client) resume(token string, seq uint64, fresh bool) protocol.Resumed {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"t":"resume","id":1,"d":{"token":%q,"seq":%d,"fresh":%v}}`, token, seq, fresh))
	m := c.wants("resumed")
	var d protocol.Resumed
	if err := json.Unmarshal(m.D, &d); err != nil || m.ID != 1 {
		c.t.Fatalf("%s: %v", m.raw, err)
	}
	return d
}

func (c *client) expired(token string) {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"t":"resume","id":1,"d":{"token":%q,"seq":0}}`, token))
	if m := c.wants("err"); m.ID != 1 || m.E.Code != "resume_expired" {
		c.t.Fatal(m.raw)
	}
}

func (r *rig) drop(c *client) {
	r.t.Helper()
	before := r.seen.all()
	_ = c.ws.NetConn().Close()
	testenv.Eventually(r.t, patience, func() bool { return len(r.seen.all()) > len(before) }, "the drop to be seen")
}

func TestHelloTimeout(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.HelloTimeout = 100 * time.Millisecond })
	c := r.dial()
	begin := time.Now()
	c.closes(protocol.CloseHelloTimeout, "hello timeout")
	if d := time.Since(begin); d < 90*time.Millisecond || d > patience {
		t.Errorf("after %v", d)
	}
	half := r.dial() // half a message is not a message
	half.raw(rawFrame(0x01, []byte(`{"t":"hel`)))
	half.closes(protocol.CloseHelloTimeout, "hello timeout")
}

func TestFirstMessage(t *testing.T) {
	r := newRig(t, nil)
	for name, c := range map[string]struct {
		text   string
		code   protocol.CloseCode
		reason string
	}{
		"ping first":     {`{"t":"ping"}`, protocol.CloseProtocol, "protocol: hello or resume"},
		"request first":  {`{"t":"match.find","id":1}`, protocol.CloseProtocol, "protocol: hello or resume"},
		"bye first":      {`{"t":"bye"}`, protocol.CloseBye, "bye"},
		"garbage first":  {`GET / HTTP/1.1`, protocol.CloseProtocol, "protocol: not an object"},
		"big hello":      {`{"t":"hello","id":1,"d":{"name":"Ann"},"x":"` + strings.Repeat("x", 4096) + `"}`, protocol.CloseTooBig, "too big"},
		"not UTF-8":      {"{\"t\":\"hello\",\"d\":{\"name\":\"\xff\"}}", protocol.CloseUTF8, "utf8"},
		"three failures": {`{"t":"hello","id":1,"d":{"name":1}}`, protocol.CloseProtocol, "protocol: no session"},
	} {
		t.Run(name, func(t *testing.T) {
			k := r.dial()
			k.t = t
			k.send(c.text)
			if name == "three failures" {
				k.send(c.text)
				k.send(c.text)
			}
			for _, m := range k.closes(c.code, c.reason) {
				if m.E.Code != "bad_request" {
					t.Error(m.raw)
				}
			}
		})
	}
	exact := `{"t":"hello","id":1,"d":{"name":"Ann"},"x":"`
	exact += strings.Repeat("x", protocol.MaxHelloBytes-len(exact)-2) + `"}`
	c := r.dial()
	c.send(exact)
	c.wants("welcome")
}

func TestIdentifyRefuses(t *testing.T) {
	for code, closes := range map[protocol.Code]bool{protocol.CodeUnauthorized: true, protocol.CodeForbidden: true, protocol.CodeUnavailable: false, protocol.CodeBadRequest: false} {
		t.Run(string(code), func(t *testing.T) {
			var calls atomic.Int32
			r := newRig(t, func(c *Config) {
				c.Identify = func(context.Context, Request, protocol.Hello) (Identity, error) {
					if calls.Add(1) == 1 {
						return Identity{}, protocol.Errorf(code, "no")
					}
					return Identity{}, nil
				}
			})
			c := r.dial()
			c.send(`{"t":"hello","id":1}`)
			if m := c.wants("err"); m.E.Code != string(code) || m.ID != 1 {
				t.Fatal(m.raw)
			}
			if closes {
				c.closes(protocol.CloseAuth, "auth")
				return
			}
			c.send(`{"t":"hello","id":2}`)
			c.wants("welcome")
		})
	}
}

func TestMessageTooBig(t *testing.T) {
	r := newRig(t, nil)
	c := r.dial()
	c.hello("Ann")
	text := `{"t":"pong","x":"`
	text += strings.Repeat("x", protocol.MaxMessageBytes-len(text)-2) + `"}`
	c.send(text)
	c.send(`{"t":"ping"}`)
	c.wants("pong")
	c.send(text + " ")
	c.closes(protocol.CloseTooBig, "too big")
}

func TestResumeIsSingleUse(t *testing.T) {
	r := newRig(t, nil)
	a := r.dial()
	w := a.hello("Ann")
	r.drop(a)
	b := r.dial()
	d := b.resume(w.Resume.Token, 0, false)
	if d.Resume.Token == w.Resume.Token || d.Resume.Token == "" {
		t.Fatal("the token was not changed")
	}
	b.send(`{"t":"ping"}`)
	b.wants("pong")
	c := r.dial()
	c.expired(w.Resume.Token) // used, and its successor is in use
	c.hello("Cy")             // on the same socket
	r.drop(b)
	r.dial().expired(w.Resume.Token) // also when nobody is there
	r.dial().resume(d.Resume.Token, 0, false)
}

// TestResumeReplyLost: the socket that used the token was gone before the client
// can have seen the next one.
func TestResumeReplyLost(t *testing.T) {
	for _, halfOpen := range []bool{false, true} {
		t.Run(fmt.Sprintf("half-open=%v", halfOpen), func(t *testing.T) { testReplyLost(t, halfOpen) })
	}
}

func testReplyLost(t *testing.T, halfOpen bool) {
	r := newRig(t, nil)
	a := r.dial()
	w := a.hello("Ann")
	r.drop(a)
	b := r.dial()
	b.resume(w.Resume.Token, 0, false)
	for range 3 { // nothing is said on it
		if !halfOpen {
			r.drop(b)
		}
		old := b
		b = r.dial()
		b.resume(w.Resume.Token, 0, false)
		if halfOpen {
			old.closes(protocol.CloseReplaced, "replaced")
		}
	}
	c := r.dial()
	d := c.resume(w.Resume.Token, 0, false)
	c.send(`{"t":"pong"}`)
	r.drop(c)
	r.dial().expired(w.Resume.Token)
	r.dial().resume(d.Resume.Token, 0, false)
}

// slowBack is an observer that takes its time, as one whose store is down.
type slowBack struct {
	diary
	gate chan struct{}
}

func (o *slowBack) Back(*Session, bool) { <-o.gate }

// TestResumeWhileAnEarlierOneIsSlow: who did not wait for the answer keeps a good
// token; the session is not lost.
func TestResumeWhileAnEarlierOneIsSlow(t *testing.T) {
	slow := &slowBack{gate: make(chan struct{})}
	r := newRig(t, func(c *Config) { c.Observer = slow })
	release := sync.OnceFunc(func() { close(slow.gate) })
	t.Cleanup(release) // also when it fails
	a := r.dial()
	w := a.hello("Ann")
	s := r.session(w)
	b := r.dial()
	b.send(`{"t":"resume","id":1,"d":{"token":"` + w.Resume.Token + `","seq":0}}`)
	opening := func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.state == stateOpening }
	testenv.Eventually(t, 5*time.Second, opening, "the first resume is under way")
	_ = b.ws.NetConn().Close()
	c := r.dial()
	c.send(`{"t":"resume","id":1,"d":{"token":"` + w.Resume.Token + `","seq":0}}`)
	if m := c.wants("err"); m.E.Code != "unavailable" {
		t.Fatal(m.raw)
	}
	release()
	away := func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.state == stateAway }
	testenv.Eventually(t, 5*time.Second, away, "the first socket's end is noticed")
	r.dial().resume(w.Resume.Token, 0, false)
}

// slowAway is an observer to whom a lost socket takes its time.
type slowAway struct {
	diary
	gate, entered chan struct{}
}

func (o *slowAway) Away(*Session) {
	select {
	case o.entered <- struct{}{}:
		<-o.gate
	default:
	}
}

// TestResumesQueueBehindASlowOne: of several tries that wait for the turn the
// newest has the session in the end, and none is told that it is gone.
func TestResumesQueueBehindASlowOne(t *testing.T) {
	slow := &slowAway{gate: make(chan struct{}), entered: make(chan struct{}, 1)}
	r := newRig(t, func(c *Config) { c.Observer = slow })
	release := sync.OnceFunc(func() { close(slow.gate) })
	t.Cleanup(release)
	a := r.dial()
	w := a.hello("Ann")
	s := r.session(w)
	_ = a.ws.NetConn().Close()
	<-slow.entered
	queued := func(n int) func() bool {
		return func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.queue) == n }
	}
	var tries []*client
	for i := range 2 {
		c := r.dial()
		c.send(`{"t":"resume","id":1,"d":{"token":"` + w.Resume.Token + `","seq":0}}`)
		testenv.Eventually(t, 5*time.Second, queued(i+1), "try %d waits", i)
		tries = append(tries, c)
	}
	release()
	tries[0].wants("resumed")
	tries[0].closes(protocol.CloseReplaced, "replaced")
	tries[1].wants("resumed")
}

func TestSecondResumeReplacesTheFirst(t *testing.T) {
	r := newRig(t, nil)
	a := r.dial()
	w := a.hello("Ann")
	b := r.dial()
	b.resume(w.Resume.Token, 0, false) // a is still there
	a.closes(protocol.CloseReplaced, "replaced")
	r.sees("opened away back(false)")
	r.session(w).Push(Push{Type: "x"})
	b.wants("x")
	b.send(`{"t":"bye"}`)
	b.closes(1000, "bye")
	r.sees("opened away back(false) closed(bye)")
}

func TestResumeOfGarbage(t *testing.T) {
	r := newRig(t, nil)
	a := r.dial()
	w := a.hello("Ann")
	other := r.hub.cfg.Signer.Sign(resumePurpose, []byte("n_other\n"+string(w.SID)+"\n1"))
	wrong := r.hub.cfg.Signer.Sign("guest", []byte("n_test\n"+string(w.SID)+"\n1"))
	gone := r.hub.cfg.Signer.Sign(resumePurpose, []byte("n_test\ns_gone\n1"))
	ahead := r.hub.cfg.Signer.Sign(resumePurpose, []byte("n_test\n"+string(w.SID)+"\n2"))
	for _, token := range []string{"", "x", w.Resume.Token + "x", w.Guest, other, wrong, gone, ahead} {
		c := r.dial()
		c.expired(token)
		c.hello("Bo")
	}
	a.send(`{"t":"ping"}`)
	a.wants("pong")
}

func TestResumeReplaysInOrderOnce(t *testing.T) {
	r := newRig(t, nil)
	c := r.dial()
	w := c.hello("Ann")
	s := r.session(w)
	push := func(n int) { s.Push(Push{Type: "x", D: []byte(itoa(n))}) }
	token, have, sent := w.Resume.Token, uint64(0), 0
	chat := Prepare(Push{Type: "chat", Room: "r", Class: Ordered, D: []byte(`{}`)})
	for round := range 6 {
		for range 5 { // some arrive
			sent++
			push(sent)
		}
		for range round {
			if m := c.wants("x"); m.Seq != have+1 || string(m.D) != itoa(int(m.Seq)) {
				t.Fatal(m.raw)
			}
			have++
		}
		r.drop(c)
		sent++
		push(sent)
		s.PushFrame(chat)
		c = r.dial()
		d := c.resume(token, have, false)
		token = d.Resume.Token
		if d.Seq != uint64(sent) || d.Replayed != sent-int(have) || d.Resync || d.State != nil {
			t.Fatalf("%+v, have %d, sent %d", d, have, sent)
		}
		for have < uint64(sent) {
			m := c.next()
			if m.T == "chat" { // one of an earlier round may come again: off tells
				continue
			}
			if m.Seq != have+1 || string(m.D) != itoa(int(m.Seq)) {
				t.Fatalf("%s after %d", m.raw, have)
			}
			have++
		}
		c.wants("chat") // keeps its place behind the last push
	}
}

func TestRingOverflowResyncs(t *testing.T) {
	var asked atomic.Int32
	r := newRig(t, func(c *Config) {
		c.Limits.RingMessages = 4
		c.State = func(_ context.Context, s *Session) *protocol.State {
			if asked.Add(1) == 1 {
				s.Push(Push{Type: "late", D: []byte(`1`)}) // meanwhile: the state is asked for again
			}
			return &protocol.State{Match: &protocol.Waiting{Pool: "video"}}
		}
	})
	c := r.dial()
	w := c.hello("Ann")
	r.drop(c)
	for range 5 {
		r.session(w).Push(Push{Type: "x"})
	}
	c = r.dial()
	d := c.resume(w.Resume.Token, 0, false)
	if !d.Resync || d.State == nil || d.State.Match.Pool != "video" || d.State.User.Name != "Ann" || d.State.Limits.MessageBytes == 0 || d.Seq != 6 || d.Replayed != 0 {
		t.Fatalf("%+v", d)
	}
	r.session(w).Push(Push{Type: "y"})
	if m := c.wants("y"); m.Seq != 7 {
		t.Fatal(m.raw)
	}
}

func TestResumeWithASeqFromTheFutureResyncs(t *testing.T) {
	r := newRig(t, nil)
	c := r.dial()
	w := c.hello("Ann")
	r.drop(c)
	r.session(w).Push(Push{Type: "x"})
	if d := r.dial().resume(w.Resume.Token, 99, false); !d.Resync || d.Seq != 1 || d.State == nil {
		t.Fatalf("%+v", d)
	}
}

func TestResumeBehindAnAckResyncs(t *testing.T) {
	r := newRig(t, nil)
	c := r.dial()
	w := c.hello("Ann")
	for range 3 {
		r.session(w).Push(Push{Type: "x"})
	}
	c.send(`{"t":"ping","a":2}`)
	for c.next().T != "pong" {
	}
	r.drop(c)
	if d := r.dial().resume(w.Resume.Token, 1, false); !d.Resync || d.Seq != 3 {
		t.Fatalf("%+v", d)
	}
}

func TestResumeFresh(t *testing.T) {
	var ran atomic.Int32
	r := newRig(t, func(c *Config) {
		c.ResumedICE = func(*Session) *protocol.ICE { return &protocol.ICE{Policy: "relay"} }
		c.Handlers["count"] = Handler{Serve: func(context.Context, *Session, *protocol.Message) (any, error) {
			return protocol.Reconnect{AfterMS: int64(ran.Add(1))}, nil
		}}
	})
	c := r.dial()
	w := c.hello("Ann")
	c.send(`{"t":"count","id":2}`)
	c.wants("ok")
	r.session(w).Push(Push{Type: "x"})
	r.drop(c)
	r.session(w).Push(Push{Type: "y"})
	r.session(w).SetUser(protocol.User{ID: "u_Ann", Name: "Anna"})
	c = r.dial()
	d := c.resume(w.Resume.Token, 0, true)
	if d.Resync || d.State == nil || d.Seq != 2 || d.Replayed != 0 || d.State.User.Name != "Anna" || d.ICE == nil || d.ICE.Policy != "relay" {
		t.Fatalf("%+v", d)
	}
	c.send(`{"t":"count","id":2}`) // a new memory counts its requests anew
	if m := c.wants("ok"); string(m.D) != `{"after_ms":2}` {
		t.Fatal(m.raw)
	}
	r.sees("opened away back(true)")
}

func TestRequestsAreRemembered(t *testing.T) {
	var ran atomic.Int32
	gate := make(chan struct{})
	r := newRig(t, func(c *Config) {
		c.Handlers["slow"] = Handler{Serve: func(context.Context, *Session, *protocol.Message) (any, error) {
			n := ran.Add(1)
			<-gate
			return protocol.Reconnect{AfterMS: int64(n)}, nil
		}}
	})
	c := r.dial()
	w := c.hello("Ann")
	c.send(`{"t":"slow","id":7}`)
	testenv.Eventually(t, patience, func() bool { return ran.Load() == 1 }, "the handler to run")
	_ = c.ws.NetConn().Close() // the reply will be lost
	c = r.dial()
	c.send(fmt.Sprintf(`{"t":"resume","id":1,"d":{"token":%q}}`, w.Resume.Token))
	close(gate) // the resume waits for the handler
	c.wants("resumed")
	for range 2 {
		c.send(`{"t":"slow","id":7}`)
		if m := c.wants("ok"); m.ID != 7 || string(m.D) != `{"after_ms":1}` {
			t.Fatal(m.raw)
		}
	}
	c.send(`{"t":"slow","id":8}`)
	if m := c.wants("ok"); string(m.D) != `{"after_ms":2}` {
		t.Fatal(m.raw)
	}
	for id := 100; id < 140; id++ { // more than are remembered
		c.send(`{"t":"slow","id":` + itoa(id) + `}`)
		c.wants("ok")
	}
	c.send(`{"t":"slow","id":7}`)
	if m := c.wants("ok"); string(m.D) != `{"after_ms":43}` {
		t.Fatal(m.raw)
	}
}

func TestGraceTimeEnds(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Grace = 100 * time.Millisecond })
	c := r.dial()
	w := c.hello("Ann")
	if w.Resume.TTLMS != 100 {
		t.Error(w.Resume.TTLMS)
	}
	_ = c.ws.NetConn().Close()
	r.sees("opened away closed(lost)")
	if r.hub.Len() != 0 {
		t.Error("still there")
	}
	r.dial().expired(w.Resume.Token)
}

func TestHalfOpenSocketIsDropped(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Ping = 150 * time.Millisecond; c.Limits.Silence = 100 * time.Millisecond })
	c := r.dial()
	c.hello("Ann")
	before := c.closes(protocol.CloseSilent, "silent") // it reads, but never says anything
	if len(before) == 0 || before[0].T != "ping" {
		t.Fatal(before)
	}
	r.sees("opened away")
}

func TestPongKeepsAlive(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Ping = 60 * time.Millisecond; c.Limits.Silence = patience })
	c := r.dial()
	c.hello("Ann")
	for range 5 {
		m, err := c.read()
		if err != nil || m.T != "ping" {
			t.Fatal(m.raw, err)
		}
		c.send(`{"t":"pong"}`)
	}
	r.sees("opened")
}

func TestAlive(t *testing.T) {
	r := newRig(t, nil)
	c := r.dial()
	s := r.session(c.hello("Ann"))
	if !s.Alive(t.Context(), time.Minute) {
		t.Fatal("just heard, but not alive")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if s.Alive(ctx, -1) {
		t.Fatal("did not answer, but alive")
	}
	if m, err := c.read(); err != nil || m.T != "ping" {
		t.Fatal(m, err)
	}
	alive := make(chan bool)
	go func() { alive <- s.Alive(t.Context(), -1) }()
	if m, err := c.read(); err != nil || m.T != "ping" {
		t.Fatal(m, err)
	}
	c.send(`{"t":"pong"}`)
	if !<-alive {
		t.Fatal("answered, but not alive")
	}
	go func() { alive <- s.Alive(t.Context(), -1) }()
	if m, err := c.read(); err != nil || m.T != "ping" {
		t.Fatal(m, err)
	}
	_ = c.ws.NetConn().Close()
	if <-alive {
		t.Fatal("gone, but alive")
	}
	testenv.Eventually(t, patience, func() bool { return !s.Connected() }, "the session to be away")
	if s.Alive(t.Context(), time.Minute) {
		t.Fatal("away, but alive")
	}
}

func TestAckEmptiesTheRing(t *testing.T) {
	r := newRig(t, nil)
	c := r.dial()
	s := r.session(c.hello("Ann"))
	held := func() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.ring.entries) }
	for range 3 {
		s.Push(Push{Type: "x"})
	}
	if held() != 3 {
		t.Fatal(held())
	}
	c.send(`{"t":"ack","a":99}`) // not sent yet: ignored
	c.send(`{"t":"ping","a":2}`)
	c.send(`{"t":"ack","a":1}`)
	testenv.Eventually(t, patience, func() bool { return held() == 1 }, "two of three to go")
	c.send(`{"t":"ack","a":3}`)
	testenv.Eventually(t, patience, func() bool { return held() == 0 }, "all to go")
}

func TestSessionClose(t *testing.T) {
	r := newRig(t, nil)
	a := r.dial()
	w := a.hello("Ann")
	r.session(w).Close(protocol.CloseBanned, "banned")
	a.closes(protocol.CloseBanned, "banned")
	r.sees("opened closed(kicked)")
	if _, ok := r.hub.Lookup(w.SID); ok {
		t.Error("still there")
	}
	b := r.dial()
	w = b.hello("Bo")
	s := r.session(w)
	s.Close(protocol.CloseInternal, strings.Repeat("é", 100)) // may come back
	b.closes(protocol.CloseInternal, "é")
	r.sees("opened closed(kicked) opened away")
	s.Close(protocol.CloseBanned, "") // also while away
	r.sees("opened closed(kicked) opened away closed(kicked)")
	s.Push(Push{Type: "x"}) // nothing happens
	s.Close(protocol.CloseBanned, "")
}

// TestSlowReader: it costs itself its socket and others nothing.
func TestSlowReader(t *testing.T) {
	r := newRig(t, nil)
	slow, quick := r.dial(), r.dial()
	w := slow.hello("Ann")
	s, q := r.session(w), r.session(quick.hello("Bo"))
	d := []byte(`"` + strings.Repeat("x", 30000) + `"`)
	n := 0
	for ; s.Connected(); n++ {
		if n > 10000 {
			t.Fatal("was never too slow")
		}
		s.Push(Push{Type: "x", D: d})
		begin := time.Now()
		q.Push(Push{Type: "y"})
		if m := quick.wants("y"); m.Seq != uint64(n+1) {
			t.Fatal(m.raw)
		}
		if took := time.Since(begin); took > patience/2 {
			t.Fatalf("the other one waited %v", took)
		}
	}
	if queued := r.hub.queued.Load(); queued > int64(2*r.hub.cfg.Limits.OutboxBytes) {
		t.Errorf("%d bytes wait", queued)
	}
	last := uint64(0)
	for _, m := range slow.closes(protocol.CloseSlow, "slow") { // what was on its way, then why
		if m.Seq != last+1 {
			t.Fatalf("seq %d after %d", m.Seq, last)
		}
		last = m.Seq
	}
	r.sees("opened opened away")
	c := r.dial()
	if got := c.resume(w.Resume.Token, last, false); got.Seq != uint64(n) || got.Resync == (got.Replayed == n-int(last)) {
		t.Fatalf("%+v after %d of %d", got, last, n)
	}
	testenv.Eventually(t, patience, func() bool { return r.hub.queued.Load() == 0 }, "the queues to empty")
}

func TestLatestReplaces(t *testing.T) {
	r := newRig(t, nil)
	c := r.dial()
	w := c.hello("Ann")
	s := r.session(w)
	r.drop(c)
	s.Push(Push{Type: "typing", Class: Latest, Key: "a"}) // away: dropped
	c = r.dial()
	d := c.resume(w.Resume.Token, 0, false)
	s.Push(Push{Type: "typing", Class: Latest, Key: "a", D: []byte(`1`)})
	if m := c.wants("typing"); string(m.D) != "1" || m.Seq != 0 || d.Replayed != 0 {
		t.Fatal(m.raw)
	}
}

func TestDrain(t *testing.T) {
	r := newRig(t, nil)
	var clients []*client
	for range 5 {
		c := r.dial()
		c.hello("Ann")
		clients = append(clients, c)
	}
	early := r.dial() // no session yet
	done := make(chan error)
	go func() { done <- r.hub.Drain(t.Context(), 100*time.Millisecond) }()
	for _, c := range clients {
		m := c.closes(protocol.CloseDrain, "drain")
		var d protocol.Reconnect
		if len(m) != 1 || m[0].T != "reconnect" || json.Unmarshal(m[0].D, &d) != nil || d.AfterMS < 0 || d.AfterMS > 5000 {
			t.Fatal(m)
		}
	}
	early.closes(protocol.CloseDrain, "drain")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, resp, err := r.dialWith(nil, protocol.Subprotocol); err == nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Fatal(resp, err)
	}
}

func TestDrainCutsWhoDoesNotGo(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.CloseTime = time.Hour })
	r.dial().hello("Ann") // does not read, so it does not answer
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.hub.Drain(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	testenv.Eventually(t, patience, func() bool { return r.hub.countSockets() == 0 }, "sockets to go")
}

func TestCloseTellsEverybody(t *testing.T) {
	r := newRig(t, nil)
	a, b := r.dial(), r.dial()
	a.hello("Ann")
	b.hello("Bo")
	r.drop(b) // one is away
	closed := make(chan error)
	go func() { closed <- r.hub.Close() }()
	a.closes(protocol.CloseDrain, "drain")
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	r.sees("opened opened away closed(shutdown) closed(shutdown)")
	if r.hub.Len() != 0 {
		t.Error(r.hub.Len())
	}
}

func TestObserverPanics(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Observer = panicky{} })
	c := r.dial()
	w := c.hello("Ann")
	_ = c.ws.NetConn().Close()
	c = r.dial()
	c.resume(w.Resume.Token, 0, true)
}

type panicky struct{}

func (panicky) Opened(*Session)                 { panic("opened") }
func (panicky) Away(*Session)                   { panic("away") }
func (panicky) Back(*Session, bool)             { panic("back") }
func (panicky) Closed(*Session, CloseReason)    { panic("closed") }
func (panicky) Restored(*Session, Restored)     { panic("restored") }
func (panicky) Moved(*Session, protocol.NodeID) { panic("moved") }

func TestNothingSecretIsLogged(t *testing.T) {
	var log safeBuffer
	r := newRig(t, func(c *Config) {
		c.Logger = log.logger()
		c.Handlers["fail"] = Handler{Serve: func(context.Context, *Session, *protocol.Message) (any, error) { return nil, net.ErrClosed }}
	})
	c := r.dial()
	w := c.hello("SECRETNAME")
	c.send(`{"t":"fail","id":2,"d":{"x":"SECRETBODY"}}`)
	ref := c.wants("err").E.Msg
	c.send(`{"t":"bye"}`)
	c.closes(1000, "bye")
	r.sees("opened closed(bye)")
	text := log.String()
	for _, secret := range []string{"SECRET", w.Resume.Token, "127.0.0.1"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q in the log: %s", secret, text)
		}
	}
	if _, id, _ := strings.Cut(ref, "reference "); len(id) < 8 || !strings.Contains(text, id) {
		t.Errorf("reference of %q is not in the log: %s", ref, bytes.TrimSpace([]byte(text)))
	}
}

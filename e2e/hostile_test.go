package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/protocol"
)

// scene is a call in progress, mallory in it, and another call beside it.
type scene struct {
	t       *testing.T
	node    *lab.Node
	mallory *lab.Raw
	partner *lab.Raw // mallory's
	room    protocol.RoomID
	others  protocol.RoomID // the room of two others, Ann and Bo
	ann, bo *client.Client
}

// closes says that a case ends mallory's socket with a code and a reason ("" any).
type closes struct {
	code   protocol.CloseCode
	reason string
}

func newScene(t *testing.T, n *lab.Node, i int) *scene {
	s := &scene{t: t, node: n}
	from := 100 + 10*i

	s.mallory, _ = n.RawHello(t, "Mallory", lab.RawOptions{From: from})
	s.partner, _ = n.RawHello(t, "Partner", lab.RawOptions{From: from + 1})
	s.room = rawMeet(t, s.mallory, s.partner)
	ann := n.Dial(t, from+2, client.Options{Name: "Ann"})
	bo := n.Dial(t, from+3, client.Options{Name: "Bo"})
	fa, _ := meet(t, ann, bo)
	s.others = fa.Room
	s.ann, s.bo = ann, bo
	return s
}

// undisturbed checks that, whatever mallory did, the others never noticed.
func (s *scene) undisturbed() {
	s.t.Helper()
	if s.t.Failed() {
		return
	}
	say(s.t, s.ann, s.bo, s.others, "undisturbed")
	if a, b := drained(s.ann), drained(s.bo); a != "" || b != "" {
		s.t.Errorf("the others were told of it: %s %s", a, b)
	}
}

// drained returns what a client still has to read, but for its own call's usual.
func drained(c *client.Client) string {
	var s strings.Builder
	for {
		select {
		case ev := <-c.Events():
			if _, ok := ev.(client.Waiting); !ok {
				fmt.Fprintf(&s, "%T %+v ", ev, ev)
			}
		default:
			return s.String()
		}
	}
}

// TestHostileRefused: what is answered with an error; the connection stays, and
// the partner hears nothing.
func TestHostileRefused(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	candidate := `{"candidate":{"candidate":"x"}}`
	for i, tc := range []struct {
		name string
		send func(s *scene) string
		code protocol.Code
	}{
		{"signal to another room", func(s *scene) string {
			return fmt.Sprintf(`{"t":"signal","id":9,"room":%q,"kind":"candidate","d":%s}`, s.others, candidate)
		}, protocol.CodeStaleCall},
		{"signal to no room", func(*scene) string {
			return `{"t":"signal","id":9,"room":"nosuch","kind":"candidate","d":` + candidate + `}`
		}, protocol.CodeStaleCall},
		{"signal without a room", func(*scene) string {
			return `{"t":"signal","id":9,"kind":"candidate","d":` + candidate + `}`
		}, protocol.CodeStaleCall},
		{"signal of unknown kind", func(s *scene) string {
			return fmt.Sprintf(`{"t":"signal","id":9,"room":%q,"kind":"evil","d":{}}`, s.room)
		}, protocol.CodeBadRequest},
		{"offer too large", func(s *scene) string {
			return fmt.Sprintf(`{"t":"signal","id":9,"room":%q,"kind":"offer","d":{"sdp":%q}}`, s.room, strings.Repeat("a", protocol.MaxSignalBytes))
		}, protocol.CodeTooLarge},
		{"candidate too large", func(s *scene) string {
			return fmt.Sprintf(`{"t":"signal","id":9,"room":%q,"kind":"candidate","d":{"candidate":{"candidate":%q}}}`, s.room, strings.Repeat("a", protocol.MaxCandidateBytes))
		}, protocol.CodeTooLarge},
		{"chat to another room", func(s *scene) string {
			return fmt.Sprintf(`{"t":"chat","id":9,"room":%q,"d":{"cid":"x","text":"spam"}}`, s.others)
		}, protocol.CodeForbidden},
		{"history of another room", func(s *scene) string {
			return fmt.Sprintf(`{"t":"chat.history","id":9,"room":%q,"d":{"since":0}}`, s.others)
		}, protocol.CodeForbidden},
		{"typing in another room", func(s *scene) string {
			return fmt.Sprintf(`{"t":"typing","id":9,"room":%q,"d":{"on":true}}`, s.others)
		}, protocol.CodeForbidden},
		{"chat too long", func(s *scene) string {
			return fmt.Sprintf(`{"t":"chat","id":9,"room":%q,"d":{"cid":"x","text":%q}}`, s.room, strings.Repeat("a", protocol.MaxChatChars+1))
		}, protocol.CodeTooLarge},
		{"chat of white space", func(s *scene) string {
			return fmt.Sprintf(`{"t":"chat","id":9,"room":%q,"d":{"cid":"x","text":" \n\t "}}`, s.room)
		}, protocol.CodeBadRequest},
		{"chat with control characters", func(s *scene) string {
			return fmt.Sprintf(`{"t":"chat","id":9,"room":%q,"d":{"cid":"x","text":"a\u0007b"}}`, s.room)
		}, protocol.CodeBadRequest},
		{"chat without cid", func(s *scene) string {
			return fmt.Sprintf(`{"t":"chat","id":9,"room":%q,"d":{"text":"a"}}`, s.room)
		}, protocol.CodeBadRequest},
		{"chat text of wrong type", func(s *scene) string {
			return fmt.Sprintf(`{"t":"chat","id":9,"room":%q,"d":{"cid":"x","text":7}}`, s.room)
		}, protocol.CodeBadRequest},
		{"unknown type", func(*scene) string { return `{"t":"give.admin","id":9,"d":{}}` }, protocol.CodeUnknownType},
		{"find while in a room", func(*scene) string { return `{"t":"match.find","id":9,"d":{}}` }, protocol.CodeAlready},
		{"join while in a room", func(s *scene) string {
			return fmt.Sprintf(`{"t":"room.join","id":9,"room":%q,"d":{}}`, s.others)
		}, protocol.CodeAlready},
		{"block of nobody", func(s *scene) string {
			return fmt.Sprintf(`{"t":"block","id":9,"room":%q,"d":{"peer":"77"}}`, s.room)
		}, protocol.CodeNotFound},
		{"block in another room", func(s *scene) string {
			return fmt.Sprintf(`{"t":"block","id":9,"room":%q,"d":{"peer":"1"}}`, s.others)
		}, protocol.CodeNotFound},
		{"name of control characters", func(*scene) string {
			return `{"t":"user.update","id":9,"d":{"name":"\u202eevil"}}`
		}, protocol.CodeBadRequest},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScene(t, n, i)
			defer s.undisturbed()
			s.mallory.Send("%s", tc.send(s))
			m := s.mallory.ExpectErr(tc.code)
			if m.ID != 9 || m.E.Msg == "" {
				t.Fatalf("got %s", m.Text)
			}
			s.mallory.Quiet() // the connection stays
			s.partner.Quiet() // and nobody heard of it
		})
	}
}

// TestHostileOutside: the same from who is in no room at all, and after leaving.
func TestHostileOutside(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	s := newScene(t, n, 0)
	defer s.undisturbed()
	outsider, _ := n.RawHello(t, "Outsider", lab.RawOptions{From: 50})
	try := func(who *lab.Raw, room protocol.RoomID) {
		t.Helper()
		who.Send(`{"t":"signal","id":20,"room":%q,"kind":"offer","d":{"sdp":"x"}}`, room)
		who.ExpectErr(protocol.CodeStaleCall)
		who.Send(`{"t":"chat","id":21,"room":%q,"d":{"cid":"x","text":"spam"}}`, room)
		who.ExpectErr(protocol.CodeForbidden)
		who.Send(`{"t":"chat.history","id":22,"room":%q,"d":{"since":0}}`, room)
		who.ExpectErr(protocol.CodeForbidden)
		who.Send(`{"t":"typing","id":23,"room":%q,"d":{"on":true}}`, room)
		who.ExpectErr(protocol.CodeForbidden)
		// A matched room cannot be joined.
		who.Send(`{"t":"room.join","id":24,"room":%q,"d":{}}`, room)
		if m := who.Expect(protocol.TypeErr); m.E.Code != protocol.CodeNotFound && m.E.Code != protocol.CodeForbidden && m.E.Code != protocol.CodeRoomFull {
			t.Fatalf("joined a matched room? %s", m.Text)
		}
	}
	try(outsider, s.room)
	s.partner.Quiet()
	s.mallory.Quiet()

	s.mallory.Send(`{"t":"room.leave","id":30,"room":%q}`, s.room)
	s.mallory.Expect(protocol.TypeOK)
	if m := s.partner.Expect(protocol.TypePeerLeft); !strings.Contains(m.Text, `"left"`) {
		t.Fatalf("got %s", m.Text)
	}
	try(s.mallory, s.room)
	s.partner.Quiet()
}

// TestHostileCloses: what ends the connection. The partner hears that the peer is
// gone or reconnecting, and not a byte of what was sent.
func TestHostileCloses(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	deep := func(depth int) string {
		return strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
	}
	text := func(s string) func(*scene) {
		return func(sc *scene) { sc.mallory.SendRaw(websocket.TextMessage, []byte(s)) }
	}
	for i, tc := range []struct {
		name string
		send func(s *scene)
		want closes
	}{
		{"not JSON", text(`hello there`), closes{protocol.CloseProtocol, ""}},
		{"nothing", text(``), closes{protocol.CloseProtocol, ""}},
		{"an array", text(`["t"]`), closes{protocol.CloseProtocol, ""}},
		{"cut off", text(`{"t":"stats"`), closes{protocol.CloseProtocol, ""}},
		{"text after the object", text(`{"t":"stats"} {}`), closes{protocol.CloseProtocol, ""}},
		{"a key twice", text(`{"t":"stats","t":"bye"}`), closes{protocol.CloseProtocol, ""}},
		{"t is no string", text(`{"t":7}`), closes{protocol.CloseProtocol, ""}},
		{"t is too long", text(`{"t":"` + strings.Repeat("x", 33) + `"}`), closes{protocol.CloseProtocol, ""}},
		{"id is no number", text(`{"t":"stats","id":"x"}`), closes{protocol.CloseProtocol, ""}},
		{"too deep", text(`{"t":"stats","d":` + deep(40) + `}`), closes{protocol.CloseProtocol, ""}},
		{"far too deep", text(`{"t":"stats","d":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`), closes{protocol.CloseProtocol, ""}},
		{"too deep in a signal", func(s *scene) {
			s.mallory.Send(`{"t":"signal","room":%q,"kind":"offer","d":%s}`, s.room, deep(40))
		}, closes{protocol.CloseProtocol, ""}},
		{"malformed JSON in a signal", func(s *scene) {
			s.mallory.Send(`{"t":"signal","room":%q,"kind":"offer","d":{"sdp":nope}}`, s.room)
		}, closes{protocol.CloseProtocol, ""}},
		{"invalid UTF-8 in a signal", func(s *scene) {
			s.mallory.Send("{\"t\":\"signal\",\"room\":%q,\"kind\":\"offer\",\"d\":{\"sdp\":\"\xff\xfe\"}}", s.room)
		}, closes{protocol.CloseUTF8, "utf8"}},
		{"invalid UTF-8 in a chat", func(s *scene) {
			s.mallory.Send("{\"t\":\"chat\",\"room\":%q,\"d\":{\"cid\":\"x\",\"text\":\"\xc3\x28\"}}", s.room)
		}, closes{protocol.CloseUTF8, "utf8"}},
		{"binary", func(s *scene) { s.mallory.SendRaw(websocket.BinaryMessage, []byte(`{"t":"stats"}`)) }, closes{protocol.CloseProtocol, ""}},
		{"too big", func(s *scene) {
			s.mallory.Send(`{"t":"stats","d":{"x":%q}}`, strings.Repeat("a", protocol.MaxMessageBytes))
		}, closes{protocol.CloseTooBig, ""}},
		{"much too big", func(s *scene) {
			s.mallory.Send(`{"t":"stats","d":{"x":%q}}`, strings.Repeat("a", 8<<20))
		}, closes{protocol.CloseTooBig, ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScene(t, n, i)
			defer s.undisturbed()
			tc.send(s)
			if tc.name == "much too big" {
				expectCut(t, s.mallory, tc.want.code)
			} else {
				reason := s.mallory.ExpectClose(tc.want.code, tc.want.reason)
				if tc.want.code == protocol.CloseProtocol && !strings.HasPrefix(reason, "protocol: ") {
					t.Errorf("reason %q", reason)
				}
			}
			partnerUnaffected(t, s)
		})
	}
}

// expectCut wants the close code, or the reset that swallowed it: who still sends
// megabytes may not get to read it.
func expectCut(t *testing.T, r *lab.Raw, code protocol.CloseCode) {
	t.Helper()
	for {
		_, err := r.Next(wait)
		if err == nil {
			continue
		}
		if ce, ok := errors.AsType[*websocket.CloseError](err); ok && ce.Code != int(code) && ce.Code != 1006 || lab.IsTimeout(err) {
			t.Fatalf("ended with %v", err)
		}
		return
	}
}

// partnerUnaffected checks that mallory's partner is told of the loss, of nothing
// else, and goes on.
func partnerUnaffected(t *testing.T, s *scene) {
	t.Helper()
	m, err := s.partner.Next(wait)
	if err != nil {
		t.Fatal(err)
	}
	if m.T != protocol.TypePeerReconnecting && m.T != protocol.TypePeerLeft {
		t.Fatalf("the partner got %s", m.Text)
	}
	s.partner.Quiet()
}

// TestHostileFirstMessage: who does not begin as the protocol says.
func TestHostileFirstMessage(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	for i, tc := range []struct {
		name  string
		proto []string
		send  string
		want  closes
	}{
		{"no subprotocol", []string{}, "", closes{protocol.CloseVersion, ""}},
		{"another subprotocol", []string{"rondo.v9"}, "", closes{protocol.CloseVersion, ""}},
		{"silence", nil, "", closes{protocol.CloseHelloTimeout, "hello timeout"}},
		{"a request first", nil, `{"t":"match.find","id":1}`, closes{protocol.CloseProtocol, ""}},
		{"not JSON", nil, `GET / HTTP/1.1`, closes{protocol.CloseProtocol, ""}},
		{"a large hello", nil, `{"t":"hello","id":1,"d":{"name":"` + strings.Repeat("a", protocol.MaxHelloBytes) + `"}}`, closes{protocol.CloseTooBig, ""}},
		{"invalid UTF-8", nil, "{\"t\":\"hello\",\"id\":1,\"d\":{\"name\":\"\xff\"}}", closes{protocol.CloseUTF8, "utf8"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := n.Raw(t, lab.RawOptions{Subprotocols: tc.proto, From: i})
			if tc.send != "" {
				r.Send("%s", tc.send)
			}
			r.ExpectClose(tc.want.code, tc.want.reason)
		})
	}
	t.Run("a bad resume token", func(t *testing.T) {
		r := n.Raw(t, lab.RawOptions{From: 20})
		r.Send(`{"t":"resume","id":1,"d":{"token":"AAAA","seq":0}}`)
		r.ExpectErr(protocol.CodeResumeExpired)
		r.Send(`{"t":"hello","id":2,"d":{}}`) // on the same socket
		r.Expect(protocol.TypeWelcome)
	})
	t.Run("a bad name", func(t *testing.T) {
		r := n.Raw(t, lab.RawOptions{From: 21})
		r.Send(`{"t":"hello","id":1,"d":{"name":"a\u202eb"}}`)
		r.ExpectErr(protocol.CodeBadRequest)
	})
	t.Run("a forged guest token", func(t *testing.T) {
		r := n.Raw(t, lab.RawOptions{From: 22})
		r.Send(`{"t":"hello","id":1,"d":{"guest":"forged"}}`)
		r.Expect(protocol.TypeWelcome) // ignored: a new identity
	})
}

// TestHostileTooFast: what is over a limit is refused with advice; who goes on is
// sent away and told for how long.
func TestHostileTooFast(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	t.Run("chat", func(t *testing.T) {
		s := newScene(t, n, 0)
		defer s.undisturbed()
		for i := range 12 {
			s.mallory.Send(`{"t":"chat","id":%d,"room":%q,"d":{"cid":"c%d","text":"spam"}}`, 100+i, s.room, i)
		}
		refused := 0
		for replies := 0; replies < 12; {
			m, err := s.mallory.Next(wait)
			if err != nil {
				t.Fatal(err)
			}
			switch m.T {
			case protocol.TypeOK:
				replies++
			case protocol.TypeErr:
				replies++
				refused++
				if m.E.Code != protocol.CodeRateLimited || m.E.RetryMS <= 0 {
					t.Fatalf("got %s", m.Text)
				}
			}
		}
		if refused == 0 || refused > 2 {
			t.Fatalf("%d of 12 at once were refused, want what is over the burst of 10", refused)
		}
		for range 12 - refused {
			s.partner.Expect(protocol.TypeChat)
		}
		s.partner.Quiet()
		s.mallory.Quiet()
	})
	t.Run("and on and on", func(t *testing.T) {
		s := newScene(t, n, 1)
		defer s.undisturbed()
		for i := range 60 {
			s.mallory.Send(`{"t":"stats","id":%d}`, 100+i)
		}
		reason := s.mallory.ExpectClose(protocol.CloseRateLimited, "")
		var ms int
		if _, err := fmt.Sscanf(reason, "retry=%d", &ms); err != nil || ms <= 0 {
			t.Fatalf("reason %q", reason)
		}
		partnerUnaffected(t, s)
	})
	t.Run("bytes", func(t *testing.T) {
		s := newScene(t, n, 2)
		defer s.undisturbed()
		big := strings.Repeat("a", 40<<10)
		for range 40 {
			s.mallory.Send(`{"t":"pong","x":%q}`, big)
		}
		for {
			m, err := s.mallory.Next(wait)
			if err != nil {
				if !websocket.IsCloseError(err, int(protocol.CloseRateLimited)) {
					t.Fatalf("1.6 MB at once ended with %v", err)
				}
				break
			}
			if m.T == protocol.TypeErr && m.E.Code == protocol.CodeRateLimited && m.E.RetryMS > 0 {
				break
			}
		}
	})
	t.Run("connections", func(t *testing.T) {
		limited := false
		for i := range 80 {
			_, resp, err := n.RawErr(t, lab.RawOptions{From: 900})
			if err == nil {
				continue
			}
			limited = true
			if resp == nil || resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
				t.Fatalf("connection %d: %+v, %v", i, resp, err)
			}
			checkProblem(t, resp, protocol.CodeRateLimited)
			break
		}
		if !limited {
			t.Fatal("80 connections at once from one address")
		}
		n.RawHello(t, "Other", lab.RawOptions{From: 901}) // others get in
	})
}

func checkProblem(t *testing.T, resp *http.Response, code protocol.Code) {
	t.Helper()
	var p struct{ Code protocol.Code }
	if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("content type %q", ct)
	}
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || p.Code != code {
		t.Errorf("problem %+v, %v, want %s", p, err, code)
	}
}

// TestHostileOrigin: another site's page does not get in, and /ws/check says why.
func TestHostileOrigin(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	for _, tc := range []struct {
		name, origin, cookie string
		ok                   bool
	}{
		{"own page", "http://" + n.HTTP, "", true},
		{"another site", "https://evil.example", "", false},
		{"own host, other port", "http://127.0.0.1:1", "", false},
		{"a suffix", "http://" + n.HTTP + ".evil.example", "", false},
		{"null", "null", "", false},
		{"no browser", "", "", true},
		{"no origin but a cookie", "", "a=b", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := http.Header{}
			if tc.origin != "" {
				h.Set("Origin", tc.origin)
			}
			if tc.cookie != "" {
				h.Set("Cookie", tc.cookie)
			}
			_, resp, err := n.RawErr(t, lab.RawOptions{Header: h})
			if tc.ok != (err == nil) {
				t.Fatalf("upgrade: %v", err)
			}
			if !tc.ok {
				if resp == nil || resp.StatusCode != http.StatusForbidden {
					t.Fatalf("refused with %+v", resp)
				}
				checkProblem(t, resp, protocol.CodeOrigin)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL()+"/ws/check", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header = h
			resp, err = http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if want := map[bool]int{true: 204, false: 403}[tc.ok]; resp.StatusCode != want {
				t.Fatalf("/ws/check: %d, want %d", resp.StatusCode, want)
			}
			if !tc.ok {
				checkProblem(t, resp, protocol.CodeOrigin)
			}
		})
	}
}

// TestStaleCandidates: whatever a former partner sends in the moment of parting,
// none of it reaches the next call.
func TestStaleCandidates(t *testing.T) {
	t.Parallel() // it mostly waits
	services(t, func(t *testing.T, nodes []*lab.Node) {
		a, _ := nodes[0].RawHello(t, "Ann", lab.RawOptions{From: 1})
		b, _ := nodes[len(nodes)-1].RawHello(t, "Bo", lab.RawOptions{From: 2})
		c, _ := nodes[0].RawHello(t, "Cy", lab.RawOptions{From: 3})
		first := rawMeet(t, a, b)
		c.Send(`{"t":"match.find","id":2}`)
		c.Expect(protocol.TypeOK)

		// Bo sends candidates while Ann goes on to Cy.
		const n = 60
		for i := range n {
			if i == n/2 {
				a.Send(`{"t":"match.next","id":3}`)
			}
			b.Send(`{"t":"signal","room":%q,"kind":"candidate","d":{"candidate":{"candidate":"old %d"}}}`, first, i)
		}
		b.Send(`{"t":"stats","id":99}`)
		var second protocol.RoomID
		for answered := false; second == "" || !answered; {
			m, err := a.Next(wait)
			if err != nil {
				t.Fatal(err)
			}
			switch m.T {
			case protocol.TypeOK:
				answered = true // perhaps after the match
			case protocol.TypeMatchFound:
				second = m.Room
			case protocol.TypeSignal:
				if m.Room != first {
					t.Fatalf("got %s", m.Text)
				}
			}
		}
		c.Expect(protocol.TypeMatchFound)
		told := false
		for refused := 0; ; {
			m, err := b.Next(wait)
			if err != nil {
				t.Fatal(err)
			}
			told = told || m.T == protocol.TypePeerLeft
			if m.T == protocol.TypeErr && (m.E.Code == protocol.CodeStaleCall || m.E.Code == protocol.CodePeerGone) {
				refused++
			}
			if m.ID == 99 {
				t.Logf("%d of %d candidates came too late", refused, n)
				break
			}
		}
		// Bo's last words, once he knows, and a call that goes on.
		if !told {
			b.Expect(protocol.TypePeerLeft)
		}
		b.Send(`{"t":"signal","id":100,"room":%q,"kind":"candidate","d":{"candidate":null}}`, first)
		b.ExpectErr(protocol.CodeStaleCall)
		b.Send(`{"t":"signal","id":101,"room":%q,"kind":"candidate","d":{"candidate":null}}`, second)
		b.ExpectErr(protocol.CodeStaleCall)
		a.Send(`{"t":"signal","room":%q,"kind":"offer","d":{"sdp":"new"}}`, second)
		if m := c.Expect(protocol.TypeSignal); m.Room != second || string(m.D) != `{"sdp":"new"}` {
			t.Fatalf("got %s", m.Text)
		}
		c.Quiet()
		c.Send(`{"t":"signal","room":%q,"kind":"answer","d":{"sdp":"new"}}`, second)
		if m := a.Expect(protocol.TypeSignal); m.Room != second || m.Kind != protocol.SignalAnswer {
			t.Fatalf("got %s", m.Text)
		}
		a.Quiet()
	})
}

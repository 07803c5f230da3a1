package signaling

import (
	"context"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// Section 2 of docs/protocol.md.

// relay adds the handler "relay", which passes d on to every other session.
func relay(c *Config) {
	c.Handlers["relay"] = Handler{Serve: func(_ context.Context, s *Session, m *protocol.Message) (any, error) {
		for _, other := range s.hub.all() {
			if other != s {
				other.Push(Push{Type: "relay", Room: m.Room, From: "1", Kind: m.Kind, D: m.D})
			}
		}
		return nil, nil
	}}
}

func TestMalformedMessages(t *testing.T) {
	deep := func(n int) string {
		return `{"t":"relay","d":` + strings.Repeat(`{"a":`, n) + `1` + strings.Repeat(`}`, n) + `}`
	}
	for name, c := range map[string]struct {
		text   string
		code   protocol.CloseCode
		reason string
	}{
		"not JSON":                    {`hello`, protocol.CloseProtocol, "protocol: not an object"},
		"empty":                       {``, protocol.CloseProtocol, "protocol: not an object"},
		"array":                       {`[{"t":"relay"}]`, protocol.CloseProtocol, "protocol: not an object"},
		"text after the object":       {`{"t":"relay"} {}`, protocol.CloseProtocol, "protocol: text after"},
		"two objects":                 {"{\"t\":\"relay\"}\n{\"t\":\"relay\"}", protocol.CloseProtocol, "protocol: text after"},
		"no t":                        {`{"d":{}}`, protocol.CloseProtocol, "protocol: t"},
		"t is a number":               {`{"t":1}`, protocol.CloseProtocol, "protocol: t"},
		"t is long":                   {`{"t":"` + strings.Repeat("x", 33) + `"}`, protocol.CloseProtocol, "protocol: t"},
		"t twice":                     {`{"t":"relay","t":"bye"}`, protocol.CloseProtocol, "protocol: a key occurs twice"},
		"t twice, once escaped":       {`{"t":"relay","\u0074":"bye"}`, protocol.CloseProtocol, "protocol: a key occurs twice"},
		"d twice":                     {`{"t":"relay","d":{},"d":{}}`, protocol.CloseProtocol, "protocol: a key occurs twice"},
		"unknown key twice":           {`{"t":"relay","x":1,"x":1}`, protocol.CloseProtocol, "protocol: a key occurs twice"},
		"too deep":                    {deep(32), protocol.CloseProtocol, "protocol: too deep"},
		"id 0":                        {`{"t":"relay","id":0}`, protocol.CloseProtocol, "protocol: id"},
		"id too big":                  {`{"t":"relay","id":4294967296}`, protocol.CloseProtocol, "protocol: id"},
		"id a string":                 {`{"t":"relay","id":"1"}`, protocol.CloseProtocol, "protocol: id"},
		"d an array":                  {`{"t":"relay","d":[]}`, protocol.CloseProtocol, "protocol: d"},
		"d broken":                    {`{"t":"relay","d":{"a":tru}}`, protocol.CloseProtocol, "protocol: json"},
		"control character in d":      {"{\"t\":\"relay\",\"d\":{\"a\":\"\n\"}}", protocol.CloseProtocol, "protocol: control"},
		"bad escape in d":             {`{"t":"relay","d":{"a":"\x"}}`, protocol.CloseProtocol, "protocol: escape"},
		"not UTF-8 in d":              {"{\"t\":\"relay\",\"d\":{\"a\":\"\xc3\x28\"}}", protocol.CloseUTF8, "utf8"},
		"surrogate in UTF-8":          {"{\"t\":\"relay\",\"d\":{\"a\":\"\xed\xa0\x80\"}}", protocol.CloseUTF8, "utf8"},
		"not UTF-8 in an unknown key": {"{\"t\":\"relay\",\"\xff\":1}", protocol.CloseUTF8, "utf8"},
		"cut off":                     {`{"t":"relay","d":{`, protocol.CloseProtocol, "protocol: json"},
		"byte order mark":             {"\ufeff{\"t\":\"relay\"}", protocol.CloseProtocol, "protocol: not an object"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, relay)
			a, b := r.dial(), r.dial()
			a.hello("Ann")
			b.hello("Bo")
			a.send(c.text)
			a.closes(c.code, c.reason)
			// nothing of it has reached the other side, whose connection lives
			a2 := r.dial()
			a2.hello("Cy")
			a2.send(`{"t":"relay","id":2,"d":{"good":1}}`)
			if m := b.wants("relay"); string(m.D) != `{"good":1}` {
				t.Fatal(m.raw)
			}
			testenv.Eventually(t, patience, func() bool { return strings.Contains(r.seen.all(), "closed(kicked)") }, "the session to end")
		})
	}
}

func TestRelayedByteForByte(t *testing.T) {
	r := newRig(t, relay)
	a, b := r.dial(), r.dial()
	a.hello("Ann")
	b.hello("Bo")
	for _, d := range []string{
		`{}`, `null`, `{ "sdp" : "v=0\r\n" , "n" : [ -0, 1.50, 1e400 ] }`, `{"a":"\ud800","b":"\u0000","c":"é\u2028"}`, `{"a":1,"a":2}`,
		`{"a":` + strings.Repeat(`[`, 29) + strings.Repeat(`]`, 29) + `}`, `{"a":"` + strings.Repeat("x", 60000) + `"}`,
	} {
		a.send(`{"t":"relay","kind":"offer","room":"r","extra":[1],"T":"bye","\u0064":` + d + `}`)
		want := `{"t":"relay","seq":` + "%" + `,"room":"r","from":"1","kind":"offer","d":` + d + `}`
		m := b.wants("relay")
		before, after, _ := strings.Cut(want, "%")
		if !strings.HasPrefix(m.raw, before) || !strings.HasSuffix(m.raw, after) {
			t.Fatalf("got  %.300s\nwant %.300s", m.raw, want)
		}
	}
}

func TestUnknownType(t *testing.T) {
	r := newRig(t, nil)
	c := r.dial()
	c.hello("Ann")
	c.send(`{"t":"no such\n","id":7}`)
	if m := c.wants("err"); m.ID != 7 || m.E.Code != "unknown_type" {
		t.Fatal(m.raw)
	}
	c.send(`{"t":"PING"}`) // names are case-sensitive
	if m := c.wants("err"); m.ID != 0 || m.E.Code != "unknown_type" || strings.Contains(m.raw, `"id"`) {
		t.Fatal(m.raw)
	}
	c.send(`{"t":"ping"}`)
	c.wants("pong")
}

func TestOrder(t *testing.T) {
	r := newRig(t, relay)
	a, b := r.dial(), r.dial()
	a.hello("Ann")
	b.hello("Bo")
	const n = 300
	go func() {
		for range n {
			a.send(`{"t":"relay","d":{}}`)
		}
	}()
	for i := range n {
		if m := b.wants("relay"); m.Seq != uint64(i+1) {
			t.Fatal(m.raw)
		}
		if i%32 == 31 {
			b.send(`{"t":"ack","a":` + itoa(i+1) + `}`)
		}
	}
}

func TestRepliesAndErrors(t *testing.T) {
	r := newRig(t, func(c *Config) {
		serve := func(f func(m *protocol.Message) (any, error)) Handler {
			return Handler{Serve: func(_ context.Context, _ *Session, m *protocol.Message) (any, error) { return f(m) }}
		}
		c.Handlers["nil"] = serve(func(*protocol.Message) (any, error) { return nil, nil })
		c.Handlers["value"] = serve(func(*protocol.Message) (any, error) { return protocol.Typing{On: true}, nil })
		c.Handlers["typed"] = serve(func(*protocol.Message) (any, error) {
			return nil, &protocol.Error{Code: protocol.CodeRoomFull, Msg: "full", Retry: 1500e6}
		})
		c.Handlers["plain"] = serve(func(*protocol.Message) (any, error) { return nil, context.DeadlineExceeded })
		c.Handlers["bad"] = serve(func(*protocol.Message) (any, error) { return func() {}, nil })
		c.Handlers["field"] = serve(func(m *protocol.Message) (any, error) { var f protocol.Find; return nil, m.Unmarshal(&f) })
	})
	c := r.dial()
	c.hello("Ann")
	ask := func(text string) string { c.send(text); return c.next().raw }
	for text, want := range map[string]string{
		`{"t":"nil","id":2}`:                    `{"t":"ok","id":2,"d":{}}`,
		`{"t":"value","id":3}`:                  `{"t":"ok","id":3,"d":{"on":true}}`,
		`{"t":"typed","id":4}`:                  `{"t":"err","id":4,"e":{"code":"room_full","msg":"full","retry_ms":1500}}`,
		`{"t":"typed"}`:                         `{"t":"err","e":{"code":"room_full","msg":"full","retry_ms":1500}}`,
		`{"t":"plain","id":5}`:                  `{"t":"err","id":5,"e":{"code":"internal","msg":"something went wrong here; reference `,
		`{"t":"bad","id":6}`:                    `{"t":"err","id":6,"e":{"code":"internal","msg":"something went wrong here; reference `,
		`{"t":"field","id":7,"d":{"tags":"x"}}`: `{"t":"err","id":7,"e":{"code":"bad_request","msg":"tags: `,
		`{"t":"field","id":8,"d":{"strict":true,"tags":null,"TAGS":1}}`: `{"t":"ok","id":8,"d":{}}`,
		`{"t":"field","id":9,"d":{"strict":true,"strict":false}}`:       `{"t":"err","id":9,"e":{"code":"bad_request","msg":"d: a key occurs twice"}}`,
		`{"t":"hello","id":10}`: `{"t":"err","id":10,"e":{"code":"bad_request"`,
	} {
		if got := ask(text); !strings.HasPrefix(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", text, got, want)
		}
	}
	c.send(`{"t":"nil"}`) // no id: no reply
	c.send(`{"t":"ping"}`)
	c.wants("pong")
}

func TestPanicInAHandler(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Handlers["panic"] = Handler{Serve: func(context.Context, *Session, *protocol.Message) (any, error) { panic("secret") }}
	})
	a, b := r.dial(), r.dial()
	w := a.hello("Ann")
	b.hello("Bo")
	a.send(`{"t":"panic","id":2}`)
	m := a.closes(protocol.CloseInternal, "internal")
	if len(m) != 1 || m[0].E.Code != "internal" || strings.Contains(m[0].raw, "secret") {
		t.Fatal(m)
	}
	b.send(`{"t":"ping"}`)
	b.wants("pong")
	a = r.dial() // the session lives, and the request is not run again
	a.resume(w.Resume.Token, 0, false)
	a.send(`{"t":"panic","id":2}`)
	if m := a.wants("err"); m.E.Code != "internal" {
		t.Fatal(m.raw)
	}
}

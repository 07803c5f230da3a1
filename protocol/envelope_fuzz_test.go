package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzDecode holds the scanner against encoding/json and unicode/utf8: what
// Decode accepts they accept, and what they call valid Decode refuses only for
// the rules of section 2.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"t":"signal","room":"k3","kind":"offer","d":{"sdp":"v=0\r\n"}}`,
		`{"t":"ack","a":42}`, ` {"t" : "chat" , "id" : 17 , "d" : { "text" : "h\u00e9\ud83d\ude00" } } `,
		`{"\u0074":"pong"}`, `{"t":"pong","t":"ping"}`, `{"t":"pong","\u0074":"x"}`,
		`{"t":"x","d":[]}`, `{"t":"x","d":null}`, `{"t":"x","d":{}}{}`, `{"t":"x",}`, `{"t":1}`, `{"t":"x","id":1e3}`,
		`{"t":"x","d":{"n":[-0,0.5,1E+9,1e-9,true,false,null,"\ud800"]}}`, "{\"t\":\"x\",\"d\":{\"a\":\"\xff\"}}",
		"{\"t\":\"x\",\"d\":{\"a\":\"\x01\"}}", `{"t":"x","d":{"a":01}}`, `{"t":"x","z":{"a":1},"z":2}`,
		`{"t":"x","d":` + strings.Repeat(`{"a":`, 31) + `1` + strings.Repeat(`}`, 31) + `}`,
		`{"t":"x","d":` + strings.Repeat(`{"a":`, 32) + `1` + strings.Repeat(`}`, 32) + `}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if errors.Is(err, ErrUTF8) != !utf8.Valid(b) {
			t.Fatalf("err %v, valid UTF-8 %v", err, utf8.Valid(b))
		}
		if err != nil {
			if utf8.Valid(b) && json.Valid(b) {
				refusedForRule(t, b, err)
			}
			return
		}
		if !json.Valid(b) {
			t.Fatalf("accepted %q", b)
		}
		var ref map[string]json.RawMessage
		if err := json.Unmarshal(b, &ref); err != nil {
			t.Fatalf("accepted %q: %v", b, err)
		}
		sameEnvelope(t, m, ref)
		var v map[string]any
		if err := m.Unmarshal(&v); err != nil && CodeOf(err) != CodeBadRequest {
			t.Fatalf("Unmarshal: %v", err)
		}
		relayed := AppendPush(nil, Push{Type: m.Type, Seq: 1, Room: m.Room, From: m.To, Kind: m.Kind, D: m.D})
		if !json.Valid(relayed) || !utf8.Valid(relayed) {
			t.Fatalf("relays %q", relayed)
		}
	})
}

// refusedForRule fails unless a well-formed text was refused for one of our
// own rules.
func refusedForRule(t *testing.T, b []byte, err error) {
	t.Helper()
	me, ok := errors.AsType[*MalformedError](err)
	if !ok {
		t.Fatalf("%q: %v", b, err)
	}
	switch me.Reason {
	case "not an object", "t", "id", "a", "room", "to", "kind", "d is not an object", "a key occurs twice", "too deep":
	default:
		t.Fatalf("refused well-formed %q: %v", b, err)
	}
}

func sameEnvelope(t *testing.T, m Message, ref map[string]json.RawMessage) {
	t.Helper()
	var want struct {
		T    string
		Room string
		To   string
		Kind string
		ID   uint32
		A    uint64
	}
	for k, dst := range map[string]any{"t": &want.T, "room": &want.Room, "to": &want.To, "kind": &want.Kind, "id": &want.ID, "a": &want.A} {
		if raw, ok := ref[k]; ok {
			if err := json.Unmarshal(raw, dst); err != nil {
				t.Fatalf("%s: %s: %v", k, raw, err)
			}
		}
	}
	if string(m.Type) != want.T || string(m.Room) != want.Room || string(m.To) != want.To || string(m.Kind) != want.Kind || m.ID != want.ID || m.Ack != want.A {
		t.Fatalf("got %+v, want %+v", m, want)
	}
	if !bytes.Equal(m.D, ref["d"]) {
		t.Fatalf("d: got %q, want %q", m.D, ref["d"])
	}
}

package redisbus

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/bus/stream"
	"github.com/rondo-chat/rondo/protocol"
)

// frames are some of each form.
func frames() [][]byte {
	m := bus.Message{From: "a", Kind: "k", Key: "key", Payload: []byte("p")}
	full := &stream.Frame{Header: stream.Header{Epoch: 7, To: 8, Nonce: 9, Echo: 10, Ack: 11, Again: true, Base: 12, First: 13, Count: 2}}
	full.Messages = [][]byte{encodeMessage(m), encodeMessage(bus.Message{Kind: "other"})}
	return [][]byte{
		encodeCast(7, 1, m), encodeProbe(7, 1, "a"), appendHead(nil, formHello, 7, "a"),
		appendStream(nil, "a", full), appendStream(nil, "a", &stream.Frame{Header: stream.Header{Epoch: 7}}),
	}
}

func TestDecode(t *testing.T) {
	for i, b := range frames() {
		in, err := decode(string(b))
		if err != nil || in.from != "a" || in.head.Epoch != 7 {
			t.Fatalf("frame %d: %+v, %v", i, in, err)
		}
		for n := range b { // in.body ends with the frame: a stream frame may end after any of its messages
			cut, err := decode(string(b[:n]))
			if err == nil && (in.form != formStream || cut.head.Count >= in.head.Count) {
				t.Fatalf("frame %d is good without its last %d bytes", i, len(b)-n)
			}
		}
		old := slices.Clone(b)
		old[0] = 1
		if _, err := decode(string(old)); err == nil {
			t.Fatal("a frame of another version was read")
		}
	}
}

// encodeAgain makes the frame that in was decoded from.
func encodeAgain(in incoming) []byte {
	from := protocol.NodeID(in.from)
	switch in.form {
	case formStream:
		f := &stream.Frame{Header: in.head}
		if in.body != "" {
			f.Messages = [][]byte{[]byte(in.body)} // as many as there are, in one piece
		}
		return appendStream(nil, from, f)
	case formCast:
		return append(binary.BigEndian.AppendUint64(appendHead(nil, formCast, in.head.Epoch, from), in.number), in.body...)
	case formProbe:
		return encodeProbe(in.head.Epoch, in.number, from)
	}
	return appendHead(nil, in.form, in.head.Epoch, from)
}

func FuzzDecode(f *testing.F) {
	for _, b := range frames() {
		f.Add(b)
	}
	f.Add([]byte{frameVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := decode(string(b))
		if err != nil {
			return
		}
		again := encodeAgain(in)
		in2, err := decode(string(again))
		if err != nil || in2 != in {
			t.Fatalf("%+v became %+v, %v", in, in2, err)
		}
		var box inbox
		r := reader{rest: in.body}
		var body []byte
		for len(r.rest) > 0 {
			body = appendMessage(body, r.next(&box, "a", "b"))
		}
		if r.bad || len(body) > len(in.body) {
			t.Fatalf("%q became %q", in.body, body)
		}
	})
}

package server

import (
	"bytes"
	"testing"

	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
	"github.com/rondo-chat/rondo/signaling"
)

func FuzzCast(f *testing.F) {
	room := rooms.Room{ID: "r", Kind: rooms.Named, Version: 3, Members: []rooms.Member{{ID: "1", Session: "s", Node: "n", Name: "Ann"}}}
	for _, h := range []castHead{
		{Type: protocol.TypeSignal, Room: "r", From: "1", Kind: protocol.SignalOffer, Session: "s"},
		{Type: protocol.TypePeerJoined, Room: "r", Except: "2", Snapshot: &room, Class: signaling.MustDeliver},
		{Type: protocol.TypePeerLeft, Room: "r", Ends: true},
		{Type: protocol.TypeTyping, Room: "r", Class: signaling.Latest, Key: "typing r 1"},
	} {
		b, err := encodeCast(h, []byte(`{"a":1}`))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte{5, '{', '}'})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, d, err := decodeCast(b)
		if err != nil {
			return
		}
		again, err := encodeCast(h, d)
		if err != nil {
			t.Fatal(err)
		}
		h2, d2, err := decodeCast(again)
		if err != nil || !bytes.Equal(d, d2) {
			t.Fatalf("%q became %q, %v", d, d2, err)
		}
		third, err := encodeCast(h2, d2)
		if err != nil || !bytes.Equal(again, third) {
			t.Fatalf("%q became %q, %v", again, third, err)
		}
	})
}

package server

import (
	"bytes"
	"testing"

	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
	"github.com/rondo-chat/rondo/signaling"
)

// TestWhoComesIsToldToThoseBefore: news of a newcomer that arrive late do not reach
// who came after, and has it in its room's state.
func TestWhoComesIsToldToThoseBefore(t *testing.T) {
	s := newSeats()
	room := rooms.Room{ID: "r", Kind: rooms.Named, Version: 12}
	for _, me := range []protocol.MemberID{"2", "8", "9", "10", "11"} {
		if !s.enter(protocol.SessionID("s"+me), seat{room: "r", me: me}, room) {
			t.Fatal(me)
		}
	}
	for _, c := range []struct {
		head castHead
		want int
	}{
		{castHead{Type: protocol.TypePeerJoined, Except: "9"}, 2},
		{castHead{Type: protocol.TypePeerJoined, Except: "10"}, 3},
		{castHead{Type: protocol.TypePeerLeft, Except: "9"}, 4},
		{castHead{Type: protocol.TypeChat}, 5},
	} {
		if got := s.locals("r", c.head.concerns, nil); len(got) != c.want {
			t.Errorf("%s of %q goes to %v, want %d", c.head.Type, c.head.Except, got, c.want)
		}
	}
}

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

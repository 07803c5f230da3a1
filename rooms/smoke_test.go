package rooms

import (
	"bytes"
	"context"
	"testing"

	"github.com/rondo-chat/rondo/protocol"
)

func TestSmoke(t *testing.T) {
	r, err := New(Config{Store: NewMemory(), Node: "n1", Key: bytes.Repeat([]byte("k"), 32)})
	if err != nil {
		t.Fatal(err)
	}
	r.Start()
	defer r.Close()
	ctx := context.Background()
	room, m, err := r.Create(ctx, protocol.RoomCreate{Name: "x", Capacity: 2, Passcode: "p"}, Member{Session: "s1"})
	if err != nil || m.ID != "1" || room.Version != 1 {
		t.Fatal(room, m, err)
	}
	if _, _, err := r.Join(ctx, room.ID, Member{Session: "s2"}, "q"); protocol.CodeOf(err) != protocol.CodePasscode {
		t.Fatal(err)
	}
	room, m, err = r.Join(ctx, room.ID, Member{Session: "s2"}, "p")
	if err != nil || m.ID != "2" || room.Version != 2 {
		t.Fatal(room, m, err)
	}
	if _, _, err := r.Join(ctx, room.ID, Member{Session: "s3"}, "p"); protocol.CodeOf(err) != protocol.CodeRoomFull {
		t.Fatal(err)
	}
}

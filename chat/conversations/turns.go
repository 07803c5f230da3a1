package conversations

import (
	"context"
	"sync"

	"github.com/rondo-chat/rondo/protocol"
)

// turns lets the changes of one conversation that this node makes follow one another, so that they are
// published in order and do not wait in the database, where each would hold a connection.
type turns struct {
	mu    sync.Mutex
	rooms map[protocol.RoomID]*turn
}

// turn is who has it (a token in free) and how many want it.
type turn struct {
	free    chan struct{}
	wanting int
}

// wait returns when it is the caller's turn; who calls done ends it.
func (t *turns) wait(ctx context.Context, room protocol.RoomID) (done func(), err error) {
	v := t.want(room)
	select {
	case <-v.free:
		return func() { v.free <- struct{}{}; t.leave(room, v) }, nil
	case <-ctx.Done():
		t.leave(room, v)
		return nil, ctx.Err()
	}
}

func (t *turns) want(room protocol.RoomID) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.rooms[room]
	if !ok {
		v = &turn{free: make(chan struct{}, 1)}
		v.free <- struct{}{}
		t.rooms[room] = v
	}
	v.wanting++
	return v
}

func (t *turns) leave(room protocol.RoomID, v *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if v.wanting--; v.wanting == 0 {
		delete(t.rooms, room)
	}
}

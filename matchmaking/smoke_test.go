package matchmaking

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

type smokeHooks struct {
	mu    sync.Mutex
	found map[protocol.SessionID]Match
	ch    chan struct{}
}

func (h *smokeHooks) Alive(context.Context, protocol.SessionID) bool { return true }
func (h *smokeHooks) Open(context.Context, Match) error              { return nil }
func (h *smokeHooks) Found(s protocol.SessionID, m Match, you int) {
	h.mu.Lock()
	h.found[s] = m
	h.mu.Unlock()
	h.ch <- struct{}{}
}
func (h *smokeHooks) Waiting(protocol.SessionID, protocol.Waiting) {}
func (h *smokeHooks) Stopped(protocol.SessionID, *protocol.Error)  {}

type noNotifier struct{}

func (noNotifier) Notify(protocol.NodeID, string, []byte) error { return nil }

func TestSmoke(t *testing.T) {
	const n = 1000
	h := &smokeHooks{found: map[protocol.SessionID]Match{}, ch: make(chan struct{}, n)}
	m, err := New(Config{Node: "n1", Queue: NewMemoryQueue(), Relations: NewMemoryRelations(), Notifier: noNotifier{}, Hooks: h, Pools: []PoolConfig{{Name: "video"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for i := range n {
		go func() {
			id := fmt.Sprint(i)
			if _, err := m.Find(t.Context(), Asker{protocol.SessionID("s" + id), protocol.UserID("u" + id), "x"}, Profile{}); err != nil {
				t.Error(err)
			}
		}()
	}
	for range n {
		<-h.ch
	}
	t.Log(time.Since(start))
	if err := m.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

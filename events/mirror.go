package events

import (
	"context"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	// maxPresent is how many rooms wait to be mirrored; more are left out.
	maxPresent = 10_000
	// presentEvery is how often a room is mirrored at most.
	presentEvery = time.Second
	// presentTimeout bounds one handing over.
	presentTimeout = 5 * time.Second
)

// mirror shows presence to one sink.
type mirror struct {
	sub     Subscription
	sink    Mirror
	kinds   *kinds
	metrics *metrics

	mu   sync.Mutex
	next map[protocol.RoomID]protocol.ConvPresence
}

func newMirror(s Subscription, k *kinds, m *metrics) *mirror {
	return &mirror{sub: s, sink: s.Sink.(Mirror), kinds: k, metrics: m, next: map[protocol.RoomID]protocol.ConvPresence{}}
}

func (m *mirror) put(room protocol.RoomID, p protocol.ConvPresence) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.next[room]; known || len(m.next) < maxPresent {
		m.next[room] = p
	}
}

func (m *mirror) take() map[protocol.RoomID]protocol.ConvPresence {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.next
	m.next = map[protocol.RoomID]protocol.ConvPresence{}
	return all
}

func (m *mirror) run(ctx context.Context) {
	tick := time.NewTicker(presentEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for room, p := range m.take() {
			if err := m.show(ctx, room, p); err != nil {
				m.metrics.failures.WithLabelValues(m.sub.Name, string(presence)).Inc()
				break // the sink is away: the others would wait for the same
			}
		}
	}
}

func (m *mirror) show(ctx context.Context, room protocol.RoomID, p protocol.ConvPresence) error {
	ctx, cancel := context.WithTimeout(ctx, presentTimeout)
	defer cancel()
	shown, err := m.kinds.shown(ctx, room, "")
	if err != nil || !shown {
		return err
	}
	return m.sink.Present(ctx, room, p)
}

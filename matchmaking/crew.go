package matchmaking

import (
	"sync"

	"github.com/rondo-chat/rondo/protocol"
)

// crew does jobs in the order they come, a bounded number at a time. Its
// goroutines live only while there is something to do.
type crew struct {
	limit int

	mu      sync.Mutex
	jobs    []func()
	running int
	closed  bool
	done    sync.WaitGroup
}

func newCrew(limit int) *crew { return &crew{limit: limit} }

// do has the job done, unless the crew is closed.
func (c *crew) do(job func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.jobs = append(c.jobs, job)
	if c.running < c.limit {
		c.running++
		c.done.Add(1)
		go c.work()
	}
}

func (c *crew) work() {
	defer c.done.Done()
	for {
		c.mu.Lock()
		if len(c.jobs) == 0 {
			c.jobs = nil
			c.running--
			c.mu.Unlock()
			return
		}
		job := c.jobs[0]
		c.jobs[0] = nil
		c.jobs = c.jobs[1:]
		c.mu.Unlock()
		job()
	}
}

// close drops what is not begun and waits for the rest.
func (c *crew) close() {
	c.mu.Lock()
	c.closed, c.jobs = true, nil
	c.mu.Unlock()
	c.done.Wait()
}

// memory remembers the last few matches told to it.
type memory struct {
	set  map[protocol.RoomID]struct{}
	ring []protocol.RoomID
	next int
}

const memorySize = 1024

func (m *memory) add(id protocol.RoomID) {
	if m.has(id) {
		return
	}
	if m.set == nil {
		m.set = map[protocol.RoomID]struct{}{}
	}
	m.set[id] = struct{}{}
	if len(m.ring) < memorySize {
		m.ring = append(m.ring, id)
		return
	}
	delete(m.set, m.ring[m.next])
	m.ring[m.next] = id
	m.next = (m.next + 1) % memorySize
}

func (m *memory) has(id protocol.RoomID) bool {
	_, ok := m.set[id]
	return ok
}

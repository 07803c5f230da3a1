package server

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	kindCensus bus.Kind = "census" // how many people a node has

	censusEvery = 5 * time.Second
	censusStale = 3 * censusEvery // a node that was silent for so long is not counted
)

// census knows who is connected here, and how many are to the other nodes.
type census struct {
	mu    sync.Mutex
	here  map[protocol.SessionID]struct{}
	nodes map[protocol.NodeID]headcount
}

func newCensus() *census {
	return &census{here: map[protocol.SessionID]struct{}{}, nodes: map[protocol.NodeID]headcount{}}
}

type headcount struct {
	people uint64
	at     time.Time
}

// note keeps what a node said of itself.
func (c *census) note(node protocol.NodeID, people uint64, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, h := range c.nodes {
		if now.Sub(h.at) > censusStale {
			delete(c.nodes, id)
		}
	}
	c.nodes[node] = headcount{people, now}
}

// present notes whether a session of this node has a socket.
func (c *census) present(id protocol.SessionID, yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if yes {
		c.here[id] = struct{}{}
	} else {
		delete(c.here, id)
	}
}

// local is how many are connected to this node.
func (c *census) local() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.here)
}

// online is how many are connected to this node and to those heard of lately.
func (c *census) online(now time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	people := len(c.here)
	for _, h := range c.nodes {
		if now.Sub(h.at) <= censusStale {
			people += int(h.people)
		}
	}
	return people
}

func (s *Server) receiveCensus(m bus.Message) {
	if people, n := binary.Uvarint(m.Payload); n > 0 && m.From != s.node {
		s.census.note(m.From, people, time.Now())
	}
}

// tellCensus tells the other nodes how many are here, until the server ends.
func (s *Server) tellCensus() {
	tick := time.NewTicker(censusEvery)
	defer tick.Stop()
	for {
		s.kept.prune(time.Now())
		s.publish(bus.Message{Kind: kindCensus, Payload: binary.AppendUvarint(nil, uint64(s.census.local()))})
		select {
		case <-tick.C:
		case <-s.life.Done():
			return
		}
	}
}

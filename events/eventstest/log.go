// Package eventstest is what tests of events and of its drivers share: an outbox in
// memory, and the scenario that each driver has to pass.
package eventstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/protocol"
)

// Log is an outbox in memory that several nodes share.
type Log struct {
	mu      sync.Mutex
	rows    []events.Row
	seqs    map[protocol.RoomID]uint64
	kinds   map[protocol.RoomID]protocol.ConvKind
	cursors map[string]events.Cursor
	leases  map[string]lease
	letters []events.Letter
}

type lease struct {
	node  string
	until time.Time
}

// NewLog returns an empty outbox.
func NewLog() *Log {
	return &Log{
		seqs: map[protocol.RoomID]uint64{}, kinds: map[protocol.RoomID]protocol.ConvKind{},
		cursors: map[string]events.Cursor{}, leases: map[string]lease{},
	}
}

// Room returns the id of the n-th conversation.
func Room(n int) protocol.RoomID { return protocol.RoomID(fmt.Sprintf("c_%026d", n)) }

// Kind makes the room a conversation of this kind; without, it is a topic.
func (l *Log) Kind(room protocol.RoomID, kind protocol.ConvKind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kinds[room] = kind
}

// Say adds an event: a message with the text.
func (l *Log) Say(room protocol.RoomID, text string) {
	l.Add(protocol.ConvEvent{Room: room, By: "u_1", Message: &protocol.ConvMessage{From: "u_1", Name: "Ana", CID: "1", Text: text}})
}

// Add adds an event and gives it its numbers.
func (l *Log) Add(e protocol.ConvEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seqs[e.Room]++
	e.Seq, e.At = l.seqs[e.Room], time.Now().UnixMilli()
	if e.Message != nil {
		e.Message.Seq, e.Message.Rev = e.Seq, e.Seq
	}
	payload, err := json.Marshal(e)
	if err != nil {
		panic(err) // cannot be: plain data
	}
	l.rows = append(l.rows, events.Row{Room: e.Room, Seq: e.Seq, Pos: uint64(len(l.rows) + 1), At: e.At, Payload: payload})
}

// Break makes the payload of the newest event unreadable.
func (l *Log) Break() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows[len(l.rows)-1].Payload = []byte("{")
}

// Head is the position of the newest event.
func (l *Log) Head() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.rows))
}

// At returns the cursor of a sink.
func (l *Log) At(sink string) events.Cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cursors[sink]
}

// Put sets the cursor of a sink.
func (l *Log) Put(sink string, c events.Cursor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cursors[sink] = c
}

// Server returns the node that has the sink's lease.
func (l *Log) Server(sink string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if got := l.leases[sink]; time.Now().Before(got.until) {
		return got.node
	}
	return ""
}

// Letters implements events.Letters.
func (l *Log) Letters(_ context.Context, sink string, limit int) ([]events.Letter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []events.Letter
	for _, x := range l.letters {
		if x.Sink == sink && len(list) < limit {
			list = append(list, x)
		}
	}
	return list, nil
}

// Forget implements events.Letters.
func (l *Log) Forget(_ context.Context, x events.Letter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.letters = slices.DeleteFunc(l.letters, func(y events.Letter) bool {
		return y.Sink == x.Sink && y.Row.Pos == x.Row.Pos
	})
	return nil
}

// Node is what one node sees of the outbox.
type Node struct {
	log  *Log
	name string

	mu  sync.Mutex
	cut bool
}

var _ events.Log = (*Node)(nil)

// Node returns the view of a node.
func (l *Log) Node(name string) *Node { return &Node{log: l, name: name} }

// Cut makes everything fail that the node asks from now on: it has died, or its
// database has.
func (n *Node) Cut() { n.set(true) }

// Mend ends a Cut.
func (n *Node) Mend() { n.set(false) }

func (n *Node) set(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
}

var errCut = errors.New("eventstest: no database")

func (n *Node) alive() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut {
		return errCut
	}
	return nil
}

// Lease implements events.Log.
func (n *Node) Lease(_ context.Context, sink string, until time.Time) (bool, error) {
	if err := n.alive(); err != nil {
		return false, err
	}
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	return n.leaseLocked(sink, until), nil
}

func (n *Node) leaseLocked(sink string, until time.Time) bool {
	if got := n.log.leases[sink]; got.node != n.name && time.Now().Before(got.until) {
		return false
	}
	n.log.leases[sink] = lease{n.name, until}
	return true
}

// Events implements events.Log.
func (n *Node) Events(_ context.Context, after uint64, limit int) ([]events.Row, error) {
	if err := n.alive(); err != nil {
		return nil, err
	}
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	rest := n.log.rows[min(after, uint64(len(n.log.rows))):]
	return slices.Clone(rest[:min(limit, len(rest))]), nil
}

// Kind implements events.Log.
func (n *Node) Kind(_ context.Context, room protocol.RoomID) (protocol.ConvKind, error) {
	if err := n.alive(); err != nil {
		return "", err
	}
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	if kind, ok := n.log.kinds[room]; ok {
		return kind, nil
	}
	return protocol.ConvTopic, nil
}

// Cursor implements events.Log.
func (n *Node) Cursor(_ context.Context, sink string) (events.Cursor, error) {
	if err := n.alive(); err != nil {
		return events.Cursor{}, err
	}
	return n.log.At(sink), nil
}

// Advance implements events.Log.
func (n *Node) Advance(_ context.Context, sink string, until time.Time, c events.Cursor, letters ...events.Letter) error {
	if err := n.alive(); err != nil {
		return err
	}
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	if !n.leaseLocked(sink, until) {
		return events.ErrLost
	}
	n.log.cursors[sink] = c
	n.log.letters = append(n.log.letters, letters...)
	return nil
}

package signaling

import "github.com/rondo-chat/rondo/protocol"

// ring keeps the frames that a client may have to be sent again, in order.
type ring struct {
	entries []entry
	bytes   int
	heals   uint64 // a client that has everything up to here or later misses nothing that is gone
}

type entry struct {
	seq  uint64 // of the push; for one without seq that of the push before it
	own  bool   // has a seq of its own
	room protocol.RoomID
	b    []byte
}

// add appends e and makes room for it.
func (r *ring) add(e entry, l *Limits) {
	r.entries = append(r.entries, e)
	r.bytes += len(e.b)
	n := 0
	for ; len(r.entries)-n > l.RingMessages || r.bytes > l.RingBytes; n++ {
		r.lost(n)
		r.bytes -= len(r.entries[n].b)
	}
	r.drop(n)
}

// lost notes that entry n goes while the client may not have it. A room frame
// with another one of its room behind it does no harm: its own order shows the
// client the gap, and how to fill it (section 8).
func (r *ring) lost(n int) {
	e := r.entries[n]
	if e.own {
		r.heals = max(r.heals, e.seq)
		return
	}
	for i := len(r.entries) - 1; i > n; i-- {
		if later := r.entries[i]; !later.own && later.room == e.room {
			return
		}
	}
	r.heals = max(r.heals, e.seq+1)
}

// ack forgets what a client has that received every push up to seq, and with it
// the room frames before that push. A client that later claims to have less
// cannot be healed.
func (r *ring) ack(seq uint64) {
	r.heals = max(r.heals, seq)
	n := 0
	for n < len(r.entries) && (r.entries[n].seq < seq || r.entries[n].own && r.entries[n].seq == seq) {
		r.bytes -= len(r.entries[n].b)
		n++
	}
	r.drop(n)
}

// drop takes out the first n entries; an empty ring keeps no memory.
func (r *ring) drop(n int) {
	switch {
	case n == 0:
	case n == len(r.entries):
		r.entries = nil
	default:
		rest := copy(r.entries, r.entries[n:])
		clear(r.entries[rest:])
		r.entries = r.entries[:rest]
	}
}

// canHeal reports whether all that a client at seq misses is here.
func (r *ring) canHeal(seq uint64) bool { return seq >= r.heals }

// after returns what a client at seq misses.
func (r *ring) after(seq uint64) (frames [][]byte, pushes int) {
	for _, e := range r.entries {
		if e.own && e.seq <= seq || !e.own && e.seq < seq {
			continue
		}
		frames = append(frames, e.b)
		if e.own {
			pushes++
		}
	}
	return frames, pushes
}

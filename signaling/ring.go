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

// keepEntries is what an empty ring keeps room for: a client that acknowledges each
// push costs no memory then.
const keepEntries = 2

// add appends e and makes room for it.
func (r *ring) add(e entry, l *Limits) {
	r.bytes += len(e.b)
	n := 0
	for ; n < len(r.entries) && (len(r.entries)-n >= l.RingMessages || r.bytes > l.RingBytes); n++ {
		r.lost(n, &e)
		r.bytes -= len(r.entries[n].b)
	}
	r.drop(n)
	if r.bytes > l.RingBytes {
		r.lose(&e)
		r.bytes -= len(e.b)
		return
	}
	if n := len(r.entries); n == cap(r.entries) {
		r.grow(min(max(keepEntries, 4*n), max(n+1, l.RingMessages)))
	}
	r.entries = append(r.entries, e)
}

func (r *ring) grow(to int) {
	r.entries = append(make([]entry, 0, to), r.entries...)
}

// lost notes that entry n goes while the client may not have it, and next comes. A
// room frame with another one of its room behind it does no harm: its own order shows
// the client the gap, and how to fill it (section 8).
func (r *ring) lost(n int, next *entry) {
	e := &r.entries[n]
	if !e.own {
		if e.heals(next) {
			return
		}
		for i := len(r.entries) - 1; i > n; i-- {
			if e.heals(&r.entries[i]) {
				return
			}
		}
	}
	r.lose(e)
}

// heals reports whether a client that gets later can see that it misses e.
func (e *entry) heals(later *entry) bool { return !later.own && later.room == e.room }

// lose notes that a client that does not have e cannot be healed.
func (r *ring) lose(e *entry) {
	if e.own {
		r.heals = max(r.heals, e.seq)
	} else {
		r.heals = max(r.heals, e.seq+1)
	}
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

// drop takes out the first n entries; an empty ring keeps hardly any memory.
func (r *ring) drop(n int) {
	switch {
	case n == 0:
	case n == len(r.entries) && cap(r.entries) > keepEntries:
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

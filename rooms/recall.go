package rooms

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	// leap is what revision, version and next member number skip when a room is put
	// back: more than may have been given out since this node heard of it last.
	leap = 1000
	// freshFor is for how long after its last change a room is looked at each time:
	// a store that takes over from another one has missed the newest writes only.
	freshFor = 30 * time.Second
	// checkOthers is how many of the other rooms are looked at each time.
	checkOthers = 32
)

// Carry is what nodes tell each other of a room's record with the Room, so that
// each can put it back. It is not for clients.
type Carry struct {
	Rev      uint64 `json:"rev"`
	Next     uint64 `json:"next"`
	Epoch    string `json:"epoch,omitempty"`
	Passcode []byte `json:"passcode,omitempty"` // a MAC, see Record
}

// shown returns the Room with what other nodes need.
func (rec *Record) shown() Room {
	room := rec.Room.clone()
	room.Carry = &Carry{Rev: rec.Rev, Next: rec.Next, Epoch: rec.Epoch, Passcode: slices.Clone(rec.Passcode)}
	return room
}

// known is what this node knows of a room in which sessions of it sit, or sat
// until lately.
type known struct {
	rec     *Record                         // the newest heard of; never changed
	own     []Member                        // this node's members
	epoch   string                          // of the record in which own was right
	gone    map[protocol.MemberID]time.Time // members that this node took out, and until when that matters
	heard   time.Time                       // of the newest change
	suspect bool                            // others have put it back, perhaps without own
}

// recall is what this node knows of its rooms.
type recall struct {
	node     protocol.NodeID
	holds    func(Seat) bool // nil: as the record says
	remember time.Duration

	mu    sync.Mutex
	rooms map[protocol.RoomID]*known
	all   bool // look at every room next time
}

func newRecall(cfg *Config) *recall {
	return &recall{node: cfg.Node, holds: cfg.Holds, remember: cfg.Remember, rooms: map[protocol.RoomID]*known{}}
}

func (r *recall) has(id protocol.RoomID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rooms[id] != nil
}

// clear forgets everything: this node was taken for dead, and others have gone on.
func (r *recall) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.rooms)
}

// suspectAll makes the next look go to every room.
func (r *recall) suspectAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = true
}

// local returns the members that the record has on this node.
func (r *recall) local(room *Room) []Member {
	var own []Member
	for _, m := range room.Members {
		if m.Node == r.node {
			own = append(own, m)
		}
	}
	return own
}

// learn takes in a record as it is stored, with which this node's members were
// compared. waits: one of them found no seat, for now.
func (r *recall) learn(rec *Record, waits bool) {
	own := r.local(&rec.Room)
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.rooms[rec.Room.ID]
	switch {
	case k == nil && len(own) == 0:
		return
	case k == nil:
		k = &known{heard: time.Now()}
		r.rooms[rec.Room.ID] = k
	case rec.Rev < k.rec.Rev:
		return // somebody was faster
	}
	if k.rec == nil || k.rec.Rev != rec.Rev {
		k.heard = time.Now()
	}
	k.rec, k.suspect = rec.Clone(), waits
	if !waits {
		k.own, k.epoch = own, rec.Epoch
		return
	}
	for _, m := range own { // besides those who wait
		i := slices.IndexFunc(k.own, func(old Member) bool { return old.Session == m.Session })
		if i < 0 {
			k.own = append(k.own, m)
		} else {
			k.own[i] = m
		}
	}
}

// hear takes in a room as another node left it, and reports whether this node's
// members must be compared with it.
func (r *recall) hear(room Room) (suspect bool) {
	if room.Carry == nil {
		return false
	}
	own := r.local(&room)
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.rooms[room.ID]
	if k == nil || room.Carry.Rev <= k.rec.Rev {
		return false
	}
	rec := &Record{Room: room.clone(), Rev: room.Carry.Rev, Next: room.Carry.Next, Epoch: room.Carry.Epoch,
		Passcode: slices.Clone(room.Carry.Passcode), Guesses: k.rec.Guesses}
	rec.Room.Carry = nil
	if room.Ended {
		rec.Until = time.Now().Add(r.remember)
	}
	k.rec, k.heard = rec, time.Now()
	if rec.Epoch == k.epoch {
		k.own = own
	} else {
		k.suspect = true
	}
	return k.suspect
}

// left notes that this node took the member out, or told everybody so.
func (r *recall) left(id protocol.RoomID, member protocol.MemberID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.rooms[id]
	if k == nil || member == "" {
		return
	}
	if k.gone == nil {
		k.gone = map[protocol.MemberID]time.Time{}
	}
	k.gone[member] = time.Now().Add(r.remember)
	k.heard = time.Now()
}

// member returns the number of the session's seat here, "" if there is none.
func (r *recall) member(id protocol.RoomID, s protocol.SessionID) protocol.MemberID {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.rooms[id]; k != nil {
		for _, m := range k.own {
			if m.Session == s {
				return m.ID
			}
		}
	}
	return ""
}

// seats returns this node's seats as they should be listed.
func (r *recall) seats() []Seat {
	r.mu.Lock()
	defer r.mu.Unlock()
	var seats []Seat
	for id, k := range r.rooms {
		for _, m := range k.own {
			seats = append(seats, Seat{Room: id, Member: m.ID, Session: m.Session})
		}
	}
	return seats
}

// toCheck returns rooms of which the store may have lost something, or all, and
// drops what matters no more.
func (r *recall) toCheck() (ids []protocol.RoomID, all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, others := time.Now(), checkOthers
	for id, k := range r.rooms { // in random order, so the others take turns
		old := now.Sub(k.heard)
		if old > r.remember && (k.rec.Room.Ended || !slices.ContainsFunc(k.own, func(m Member) bool { return r.held(id, m) })) {
			delete(r.rooms, id)
			continue
		}
		fresh := r.all || k.suspect || old < freshFor
		if !fresh {
			others--
		}
		if fresh || others >= 0 {
			ids = append(ids, id)
		}
	}
	all, r.all = r.all, false
	return ids, all
}

func (r *recall) held(id protocol.RoomID, m Member) bool {
	return r.holds == nil || r.holds(Seat{Room: id, Member: m.ID, Session: m.Session})
}

// mended is what a record should be.
type mended struct {
	rec    *Record  // nil: there is no room; else a copy
	leapt  bool     // it was put back
	edited bool     // members of this node were put in or taken out
	gone   []Member // who was taken out, where others may have put them back
	waits  bool     // a member of this node found no seat: others have yet to take theirs out
}

// mend returns what the record should be by what is stored and by what this node
// knows. moved: the store says that it may have lost the newest of it.
func (r *recall) mend(stored *Record, id protocol.RoomID, moved bool) mended {
	k := r.get(id)
	if k == nil {
		m := mended{rec: stored.Clone()}
		if moved && stored != nil {
			m.leap(stored.Rev, stored)
		}
		return m
	}
	var m mended
	switch {
	case stored == nil && !r.lives(id, k):
		return m
	case stored == nil || stored.Rev < k.rec.Rev:
		m.rec = k.rec.Clone()
		m.leap(rev(stored), k.rec)
	default:
		m.rec = stored.Clone()
		if moved {
			m.leap(stored.Rev, stored)
		}
	}
	rebuilt := m.leapt || m.rec.Epoch != k.epoch
	m.dismiss(r.node, k, rebuilt, r.remember)
	if rebuilt {
		m.vouch(r, id, k)
	}
	return m
}

// get returns a copy of what is known of the room, nil if nothing is.
func (r *recall) get(id protocol.RoomID) *known {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.rooms[id]
	if k == nil {
		return nil
	}
	c := *k
	c.own = slices.Clone(k.own)
	c.gone = make(map[protocol.MemberID]time.Time, len(k.gone))
	for m, until := range k.gone {
		c.gone[m] = until
	}
	return &c
}

// ahead reports whether this node knows of more than is stored of the room, or
// has not compared.
func (r *recall) ahead(stored *Record, id protocol.RoomID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.rooms[id]
	return k != nil && (stored == nil || stored.Rev < k.rec.Rev || stored.Epoch != k.epoch)
}

// lives reports whether a room that the store does not have is to be put back:
// because somebody sits there, or because it ended and others may not know.
func (r *recall) lives(id protocol.RoomID, k *known) bool {
	if k.rec.Room.Ended {
		return !k.rec.over(time.Now())
	}
	return slices.ContainsFunc(k.own, func(m Member) bool { return r.held(id, m) })
}

// leap begins a new epoch, above the revision that is stored and the record that
// is known.
func (m *mended) leap(stored uint64, from *Record) {
	m.leapt = true
	m.rec.Epoch = auth.Random(5)
	m.rec.Rev = max(stored, from.Rev) + leap
	m.rec.Room.Version += leap
	m.rec.Next += leap
}

// dismiss takes out whom this node took out before.
func (m *mended) dismiss(node protocol.NodeID, k *known, rebuilt bool, remember time.Duration) {
	room := &m.rec.Room
	now := time.Now()
	var gone []Member
	room.Members = slices.DeleteFunc(room.Members, func(member Member) bool {
		until, left := k.gone[member.ID]
		if left = left && member.Node == node && now.Before(until); left {
			gone = append(gone, member)
		}
		return left
	})
	if gone == nil {
		return
	}
	m.edited = true
	if rebuilt {
		m.gone = gone
	}
	if room.Kind == Matched && !room.Ended {
		room.Ended, m.rec.Until = true, now.Add(remember)
	}
}

// vouch puts in this node's members whom others did not know.
func (m *mended) vouch(r *recall, id protocol.RoomID, k *known) {
	room := &m.rec.Room
	if room.Ended {
		return
	}
	for _, own := range k.own {
		if _, left := k.gone[own.ID]; left || !r.held(id, own) {
			continue
		}
		if i := room.seat(own.Session); i >= 0 {
			if was := &room.Members[i]; was.ID == own.ID && was.Node != r.node {
				*was, m.edited = own, true
			}
			continue
		}
		taken := slices.ContainsFunc(room.Members, func(other Member) bool { return other.ID == own.ID })
		if taken || len(room.Members) >= room.Capacity {
			m.waits = true
			continue
		}
		room.Members, m.edited = append(room.Members, own), true
	}
	slices.SortStableFunc(room.Members, func(a, b Member) int { return cmp.Compare(number(a.ID), number(b.ID)) })
	if len(room.Members) > 0 {
		m.rec.Until = time.Time{}
	}
}

func number(id protocol.MemberID) uint64 {
	n, _ := strconv.ParseUint(string(id), 10, 64) // 0 for what is none
	return n
}

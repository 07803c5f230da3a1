package rooms

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// Reason is why the Registry itself took members or a room away.
type Reason string

// Reasons.
const (
	ReasonLost    Reason = "lost"    // the members' node died
	ReasonExpired Reason = "expired" // the named room was empty for too long
)

// Config configures a Registry. Zero fields have the defaults given.
type Config struct {
	Store Store           // required
	Node  protocol.NodeID // required; this node
	Key   []byte          // required, at least 32 bytes; MACs passcodes

	Lease      time.Duration  // how long this node counts as alive after a renewal; 10 s; renewed every quarter
	Sweep      time.Duration  // how often to look for dead nodes and rooms that are over; 2 s
	Grace      time.Duration  // how long members of a dead node may come back on another one; 30 s
	Linger     time.Duration  // how long an empty named room stays; 10 min
	Remember   time.Duration  // how long an ended matched room is remembered, so that Open does not make it again; 2 min
	KeepEvery  time.Duration  // how often the rooms of this node are prolonged in the store; 1 h
	CheckEvery time.Duration  // how often Holds is asked, longer than any call takes; 30 s
	Timeout    time.Duration  // for one call, beyond which it is unavailable; 5 s
	Capacity   int            // seats of a named room at most, and by default; protocol.MaxRoomCapacity
	Guesses    ratelimit.Rate // wrong passcodes per room; 10 a minute

	// Removed, if set, is called when a sweep of this node took members out of a
	// room (lost; gone is not empty) or removed an empty room (expired). It is
	// called from one goroutine, without locks, and must not block for long.
	Removed func(room Room, gone []Member, why Reason)
	// Stranded, if set, is called when a sweep found members of a dead node, which
	// are away now; members is how they were before. As Removed.
	Stranded func(room Room, members []Member)
	// Regained, if set, is called with members of this node that others had taken
	// for stranded, because this node had not renewed its lease. As Removed.
	Regained func(room Room, members []Member)
	// Holds, if set, says whether the session is here and sits in that room as
	// that member. A seat of this node that it denies twice, CheckEvery apart, is
	// taken out as lost: a call left it whose outcome nobody learned. It must not
	// block.
	Holds func(Seat) bool
	// Kept, if set, is called with rooms that this node has just prolonged, so
	// that what belongs to them can be prolonged too. As Removed.
	Kept func(ids []protocol.RoomID)

	Logger     *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: not registered
}

func (c *Config) validate() error {
	switch {
	case c.Store == nil:
		return errors.New("rooms: Config.Store is missing")
	case c.Node == "":
		return errors.New("rooms: Config.Node is missing")
	case len(c.Key) < 32:
		return errors.New("rooms: Config.Key needs at least 32 bytes")
	case c.Capacity < 0 || c.Capacity == 1:
		return errors.New("rooms: Config.Capacity must be at least 2")
	}
	for _, d := range []*time.Duration{&c.Lease, &c.Sweep, &c.Grace, &c.Linger, &c.Remember, &c.KeepEvery, &c.CheckEvery, &c.Timeout} {
		if *d < 0 {
			return errors.New("rooms: a duration of Config is negative")
		}
	}
	orDefault(&c.Lease, 10*time.Second)
	orDefault(&c.Sweep, 2*time.Second)
	orDefault(&c.Grace, 30*time.Second)
	orDefault(&c.Linger, 10*time.Minute)
	orDefault(&c.Remember, 2*time.Minute)
	orDefault(&c.KeepEvery, time.Hour)
	orDefault(&c.CheckEvery, 30*time.Second)
	orDefault(&c.Timeout, 5*time.Second)
	orDefault(&c.Capacity, protocol.MaxRoomCapacity)
	orDefault(&c.Guesses, ratelimit.Rate{PerSecond: 10.0 / 60, Burst: 10})
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Removed == nil {
		c.Removed = func(Room, []Member, Reason) {}
	}
	if c.Stranded == nil {
		c.Stranded = func(Room, []Member) {}
	}
	if c.Regained == nil {
		c.Regained = func(Room, []Member) {}
	}
	if c.Kept == nil {
		c.Kept = func([]protocol.RoomID) {}
	}
	return nil
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Registry makes and changes rooms. It is safe for concurrent use. Errors are
// *protocol.Error; unavailable means that the store did not answer: what was
// asked for may have happened or not, and may be asked for again.
type Registry struct {
	cfg     Config
	metrics *metrics

	lease *lease
	seats atomic.Int64 // of this node, at the last renewal

	recall *recall
	lost   chan struct{} // asks rebuild to run
	gen    string        // of the store at the last renewal; owned by renew
	// reclaimAgain is when to reclaim once more after a lapse; zero: not. Owned by renew.
	reclaimAgain time.Time

	burials map[protocol.NodeID]time.Time // dead nodes, and when to look at them again; owned by sweep
	reached time.Time                     // when sweep got an answer last; owned by it
	calm    time.Time                     // until when sweep takes nobody for dead; owned by it

	cancel context.CancelFunc // of what Start began
	done   sync.WaitGroup
}

// New makes a Registry. Start makes it serve.
func New(cfg Config) (*Registry, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	r := &Registry{cfg: cfg, lease: newLease(), recall: newRecall(&cfg), lost: make(chan struct{}, 1), burials: map[protocol.NodeID]time.Time{}}
	r.metrics = newMetrics(cfg.Registerer, func() float64 { return float64(r.seats.Load()) })
	return r, nil
}

// Create makes a named room with its first member and returns both. Of first
// the caller gives Session, User and Name. A Mode or Capacity that is absent is
// video and Config.Capacity; a wrong one is bad_request.
func (r *Registry) Create(ctx context.Context, d protocol.RoomCreate, first Member) (Room, Member, error) {
	orDefault(&d.Mode, protocol.ModeVideo)
	orDefault(&d.Capacity, r.cfg.Capacity)
	if err := r.checkCreate(d); err != nil {
		return Room{}, Member{}, err
	}
	id := protocol.RoomID(auth.Random(13)[:20])
	rec := &Record{
		Rev:  1,
		Next: 1,
		Room: Room{ID: id, Kind: Named, Name: d.Name, Mode: d.Mode, Capacity: d.Capacity, Version: 1},
	}
	if d.Passcode != "" {
		rec.Room.Locked, rec.Passcode = true, r.passcodeMAC(id, d.Passcode)
	}
	first = rec.seat(first, r.cfg.Node)
	room, made, err := r.make(ctx, rec)
	if err == nil && !made {
		err = protocol.Errorf(protocol.CodeInternal, "room id drawn twice")
	}
	return room, first, err
}

func (r *Registry) checkCreate(d protocol.RoomCreate) error {
	switch {
	case d.Mode != protocol.ModeVideo && d.Mode != protocol.ModeAudio && d.Mode != protocol.ModeText:
		return protocol.Errorf(protocol.CodeBadRequest, "mode: must be video, audio or text")
	case d.Capacity < 2 || d.Capacity > r.cfg.Capacity:
		return protocol.Errorf(protocol.CodeBadRequest, "capacity: must be 2 to %d", r.cfg.Capacity)
	case len(d.Passcode) > protocol.MaxPasscodeBytes:
		return protocol.Errorf(protocol.CodeBadRequest, "passcode: at most %d bytes", protocol.MaxPasscodeBytes)
	}
	return nil
}

// Open makes the room of a match, with the members and ids that room holds. If
// it was opened before it is returned as it is now: perhaps Ended, when somebody
// left already.
func (r *Registry) Open(ctx context.Context, room Room) (Room, error) {
	if !validID(room.ID) || len(room.Members) != 2 || room.Members[0].ID != "1" || room.Members[1].ID != "2" ||
		room.Members[0].Session == room.Members[1].Session {
		return Room{}, protocol.Errorf(protocol.CodeInternal, "a matched room needs an id and the members 1 and 2")
	}
	room = room.clone()
	room.Carry = nil
	room.Kind, room.Capacity, room.Version, room.Ended, room.Locked = Matched, 2, 1, false, false
	room, _, err := r.make(ctx, &Record{Rev: 1, Next: 3, Room: room})
	return room, err
}

// Join takes a seat in the room for m, of whom the caller gives Session, User and
// Name. A session that has a seat keeps it, moved to this node where it was on
// another. Errors: not_found (also for a matched room of others), passcode,
// room_full, rate_limited after too many wrong passcodes of anybody.
func (r *Registry) Join(ctx context.Context, id protocol.RoomID, m Member, passcode string) (Room, Member, error) {
	var seat Member
	room, err := r.change(ctx, id, func(rec *Record, now time.Time) (outcome, error) {
		if i := rec.Room.seat(m.Session); i >= 0 {
			return rec.move(i, r.cfg.Node, &seat), nil
		}
		if rec.Room.Kind != Named {
			return unchanged, errNotFound()
		}
		if what, err := r.unlock(rec, passcode, now); err != nil {
			return what, err
		}
		if len(rec.Room.Members) >= rec.Room.Capacity {
			return unchanged, protocol.Errorf(protocol.CodeRoomFull, "the room is full")
		}
		seat = rec.seat(m, r.cfg.Node)
		rec.Until = time.Time{}
		return changed, nil
	})
	r.metrics.join(err)
	if err != nil {
		return Room{}, Member{}, err
	}
	return room, seat, nil
}

// Return moves the session's seat to this node, where the session goes on, and
// returns the room and the member as it was. Errors: not_found for no such room
// or member.
func (r *Registry) Return(ctx context.Context, id protocol.RoomID, s protocol.SessionID) (Room, Member, error) {
	var was Member
	room, err := r.change(ctx, id, func(rec *Record, _ time.Time) (outcome, error) {
		i := rec.Room.seat(s)
		if i < 0 {
			return unchanged, errNoMember()
		}
		m := &rec.Room.Members[i]
		was = *m
		m.Node, m.Away, m.Lost = r.cfg.Node, false, time.Time{}
		if *m == was {
			return unchanged, nil
		}
		return changed, nil
	})
	return room, was, err
}

// Leave gives the session's seat up and returns the room without it, and who
// left. If the session has no seat on this node, or the room is gone, the Member
// is zero and nothing changes. A matched room is Ended then.
func (r *Registry) Leave(ctx context.Context, id protocol.RoomID, s protocol.SessionID) (Room, Member, error) {
	var gone Member
	mine := r.recall.member(id, s)
	room, err := r.changeAny(ctx, id, func(rec *Record, now time.Time) (outcome, error) {
		gone = Member{}
		i := rec.Room.seat(s)
		if i < 0 || rec.Room.Members[i].Node != r.cfg.Node {
			return unchanged, nil
		}
		gone = rec.Room.Members[i]
		r.unseat(rec, now, func(m Member) bool { return m.Session == s })
		return changed, nil
	})
	r.recall.left(id, mine) // also if that could not be written: it is not to come back
	switch {
	case protocol.CodeOf(err) == protocol.CodeNotFound:
		return Room{ID: id}, Member{}, nil
	case err != nil:
		return Room{}, Member{}, err
	}
	if gone.ID != "" {
		r.metrics.left("left", room, 1)
	}
	return room, gone, nil
}

// SetAway notes whether the member's socket is there. Errors: not_found for no
// such room, or no such member on this node.
func (r *Registry) SetAway(ctx context.Context, id protocol.RoomID, s protocol.SessionID, away bool) (Room, error) {
	room, _, err := r.changeMember(ctx, id, s, func(m *Member) { m.Away = away })
	return room, err
}

// Rename changes the member's name. Errors: as SetAway.
func (r *Registry) Rename(ctx context.Context, id protocol.RoomID, s protocol.SessionID, name string) (Room, Member, error) {
	return r.changeMember(ctx, id, s, func(m *Member) { m.Name = name })
}

func (r *Registry) changeMember(ctx context.Context, id protocol.RoomID, s protocol.SessionID, f func(*Member)) (Room, Member, error) {
	var member Member
	room, err := r.change(ctx, id, func(rec *Record, _ time.Time) (outcome, error) {
		i := rec.Room.seat(s)
		if i < 0 || rec.Room.Members[i].Node != r.cfg.Node {
			return unchanged, errNoMember()
		}
		before := rec.Room.Members[i]
		f(&rec.Room.Members[i])
		member = rec.Room.Members[i]
		if member == before {
			return unchanged, nil
		}
		return changed, nil
	})
	if err != nil {
		return Room{}, Member{}, err
	}
	return room, member, nil
}

// Get returns the room. Errors: not_found.
func (r *Registry) Get(ctx context.Context, id protocol.RoomID) (Room, error) {
	if !validID(id) {
		return Room{}, errNotFound()
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	rec, err := r.cfg.Store.Load(ctx, id)
	if err != nil {
		return Room{}, err
	}
	if r.recall.ahead(rec, id) {
		room, err := r.write(ctx, id, auth.Random(5), look)
		if err != nil || room.Ended {
			return Room{}, cmp.Or(err, errNotFound())
		}
		return room, nil
	}
	if rec == nil || rec.over(time.Now()) || rec.Room.Ended {
		return Room{}, errNotFound()
	}
	return rec.shown(), nil
}

// Stats says how much this node holds.
type Stats struct {
	Seats int // taken by sessions of this node, at the last renewal of its lease
}

// Stats returns numbers of this node. It asks nobody.
func (r *Registry) Stats() Stats { return Stats{Seats: int(r.seats.Load())} }

func errNoMember() error { return protocol.Errorf(protocol.CodeNotFound, "no such member") }

func errNotFound() error { return protocol.Errorf(protocol.CodeNotFound, "no such room") }

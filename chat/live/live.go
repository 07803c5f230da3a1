package live

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/protocol"
)

// Record is what conversations remember; *conversations.Conversations is one.
type Record interface {
	// Heads returns the Seq of each conversation that is there.
	Heads(ctx context.Context, rooms []protocol.RoomID) (map[protocol.RoomID]uint64, error)
	// SyncAll returns what changed after since, as it is now, by Seq.
	SyncAll(ctx context.Context, room protocol.RoomID, since uint64) ([]protocol.ConvEvent, error)
	// Mine returns the conversations in which the user is a member.
	Mine(ctx context.Context, user protocol.UserID, limit int) ([]protocol.RoomID, error)
}

// Push is a message for a session.
type Push struct {
	Type protocol.Type
	Room protocol.RoomID
	D    []byte // well-formed JSON
	Key  string // not "": it replaces one of the same Key that still waits, and may be dropped
}

// Sessions are those of this node.
type Sessions interface {
	// Push sends p to the sessions that are there. It must not wait.
	Push(to iter.Seq[protocol.SessionID], p Push)
}

// Notifier carries what this package of one node tells that of another; Live.Receive takes what arrives.
// To "" is all nodes. Messages may be lost.
type Notifier interface {
	Notify(to protocol.NodeID, key string, payload []byte) error
}

// Follower is a session and who it belongs to.
type Follower struct {
	Session protocol.SessionID
	User    protocol.UserID
	Guest   bool // without an account: a topic may come to want none
}

// Config is what a Live works with. Node, Sessions and Notifier are required.
type Config struct {
	Node     protocol.NodeID
	Sessions Sessions
	Notifier Notifier

	// Shown is told each presence that followers here are told, at the same pace, also when nobody is left; for
	// mirrors elsewhere. It must not block. Nodes with followers of one conversation all say the same.
	Shown func(protocol.RoomID, protocol.ConvPresence)

	Queue    int           // events and requests that wait for one shard; 4,096
	Shards   int           // that work side by side; one for each core, at most 8
	Hold     time.Duration // how long an event that comes too early waits for those before it; 300 ms
	Heal     time.Duration // between two looks at the record; 5 s
	Beat     time.Duration // between two signs of life for other nodes; 3 s
	Present  time.Duration // between two pushes of a conversation's presence, and 1 ms for each follower; 2 s
	Linger   time.Duration // how long a conversation that nobody follows any more is kept; 5 s
	HealMost int           // conversations looked at in one round; 10,000

	Logger     *slog.Logger          // discards by default
	Registerer prometheus.Registerer // nil: no metrics
}

// Bounds of one session.
const (
	MaxOpen   = 100                       // conversations that it has open
	maxListed = protocol.MaxConversations // that it follows because its user is a member
	maxHere   = 50                        // people that presence names
)

const (
	tickEvery   = 100 * time.Millisecond
	headBatch   = 500                    // conversations in one question to the record
	recheck     = 250 * time.Millisecond // after a conversation got its first follower
	listsAtOnce = 50                     // lists that are compared with the record in one round
	healers     = 4                      // that read from the record side by side
	callTime    = 5 * time.Second        // of one question to the record
	retryHeal   = time.Second            // after the record did not answer
)

func (c *Config) validate() error {
	if c.Node == "" || c.Sessions == nil || c.Notifier == nil {
		return errors.New("live: Node, Sessions and Notifier are required")
	}
	c.Queue = cmp.Or(c.Queue, 4096)
	c.Shards = cmp.Or(c.Shards, min(runtime.GOMAXPROCS(0), 8))
	c.Hold = cmp.Or(c.Hold, 300*time.Millisecond)
	c.Heal = cmp.Or(c.Heal, 5*time.Second)
	c.Beat = cmp.Or(c.Beat, 3*time.Second)
	c.Present = cmp.Or(c.Present, 2*time.Second)
	c.Linger = cmp.Or(c.Linger, 5*time.Second)
	c.HealMost = cmp.Or(c.HealMost, 10_000)
	if c.Queue < 1 || c.Shards < 1 || c.Hold < 0 || c.Heal < 0 || c.Beat < 0 || c.Present < 0 || c.Linger < 0 || c.HealMost < 1 {
		return errors.New("live: a setting is negative")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Live is one node's part.
type Live struct {
	cfg      Config
	log      *slog.Logger
	metrics  *liveMetrics
	shards   []*shard
	people   *people
	interest *interest
	heals    chan healing

	record Record // set by Start
	life   context.Context
	end    context.CancelFunc
	work   sync.WaitGroup
}

// New makes a Live. Start makes it run.
func New(cfg Config) (*Live, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l := &Live{cfg: cfg, log: cfg.Logger, people: newPeople(), interest: newInterest(cfg.Node), heals: make(chan healing, 1024)}
	l.metrics = newMetrics(cfg.Registerer)
	l.life, l.end = context.WithCancel(context.Background())
	for range cfg.Shards {
		l.shards = append(l.shards, newShard(l))
	}
	return l, nil
}

// Start makes it run; record is where it looks for what it missed.
func (l *Live) Start(record Record) {
	l.record = record
	for _, s := range l.shards {
		l.work.Go(s.run)
	}
	for range healers {
		l.work.Go(l.heal)
	}
	l.work.Go(l.talk)
	l.work.Go(l.watch)
}

// Close stops what Start started.
func (l *Live) Close() {
	l.end()
	l.work.Wait()
}

func errEnded() error { return protocol.Errorf(protocol.CodeUnavailable, "this server is stopping") }

func (l *Live) shard(key uint64) *shard { return l.shards[key%uint64(len(l.shards))] }

func (l *Live) shardOf(room protocol.RoomID) *shard { return l.shard(roomKey(room)) }

// Publish brings a change to all who follow the conversation, on all nodes. It does not wait. An error means that
// it may not have reached all nodes.
func (l *Live) Publish(e protocol.ConvEvent) error {
	d, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if l.life.Err() != nil {
		return errEnded()
	}
	keys := []uint64{roomKey(e.Room)}
	if e.Person != nil {
		keys = append(keys, userKey(e.Person.ID)) // who is new follows nothing here yet
	}
	l.happened(e, d)
	return l.send(l.interest.wanting(keys...), string(e.Room), wireEvent, d)
}

// happened hands an event to its shard; one for which there is no room is healed later.
func (l *Live) happened(e protocol.ConvEvent, d []byte) {
	s := l.shardOf(e.Room)
	select {
	case s.do <- func() { s.event(e, d) }:
	default:
		l.metrics.lost.WithLabelValues("queue").Inc()
	}
}

// send tells nodes something; the first error is returned.
func (l *Live) send(nodes []protocol.NodeID, key string, kind byte, d []byte) (first error) {
	if len(nodes) == 0 {
		return nil
	}
	payload := append([]byte{kind}, d...)
	for _, node := range nodes {
		if err := l.cfg.Notifier.Notify(node, key, payload); err != nil {
			l.metrics.lost.WithLabelValues("bus").Inc()
			first = cmp.Or(first, err)
		}
	}
	return first
}

// in runs f in the shard and waits for it.
func (l *Live) in(ctx context.Context, s *shard, f func()) error {
	done := make(chan struct{})
	select {
	case s.do <- func() { f(); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.life.Done():
		return errEnded()
	}
	select {
	case <-done:
		return nil
	case <-l.life.Done():
		return errEnded()
	}
}

// Follow lets the session have what changes in the conversation after conv.Seq, which it may read and
// has read. ok is false if too much has happened since: it must be read again. An error says that the session has too
// many open.
func (l *Live) Follow(ctx context.Context, f Follower, conv protocol.Conversation) (here protocol.ConvPresence, ok bool, err error) {
	if !l.people.open(f, conv.ID) {
		return here, false, protocol.Errorf(protocol.CodeBadRequest, "at most %d conversations can be open: close another one", MaxOpen)
	}
	s := l.shardOf(conv.ID)
	err = l.in(ctx, s, func() {
		t := s.topic(conv.ID, conv.Seq)
		t.kind = conv.Kind
		if ok = s.follow(t, f, conv.Seq, asOpen); ok {
			here = t.presence(l.cfg.Node)
		}
	})
	if err != nil {
		return protocol.ConvPresence{}, false, err
	}
	if !ok {
		l.people.closed(f.Session, conv.ID)
	}
	return here, ok, nil
}

// Unfollow is the end of an open conversation for a session.
func (l *Live) Unfollow(ctx context.Context, session protocol.SessionID, room protocol.RoomID) error {
	s := l.shardOf(room)
	l.people.closed(session, room)
	return l.in(ctx, s, func() { s.unfollow(s.topics[room], session, asOpen) })
}

// FollowList lets the session have what changes in all conversations of its user, also in those that the user becomes a
// member of later.
func (l *Live) FollowList(ctx context.Context, f Follower) error {
	first, fresh := l.people.list(f)
	if !fresh {
		return nil
	}
	if first {
		l.interest.want(userKey(f.User))
	}
	if _, err := l.followAll(ctx, f); err != nil {
		if l.people.unlist(f.Session) {
			l.interest.drop(userKey(f.User))
		}
		return err
	}
	return nil
}

// followAll lets the session follow what its user is a member of. It returns what it did not follow before, of which
// nothing is about to be told.
func (l *Live) followAll(ctx context.Context, f Follower) (found []protocol.RoomID, err error) {
	rooms, err := l.record.Mine(ctx, f.User, maxListed)
	if err != nil || len(rooms) == 0 {
		return nil, err
	}
	heads, err := l.record.Heads(ctx, rooms)
	if err != nil {
		return nil, err
	}
	// Asked again: whoever is a member now loses that by a change after these heads, which a
	// follower then sees.
	if rooms, err = l.record.Mine(ctx, f.User, maxListed); err != nil {
		return nil, err
	}
	parts := map[*shard][]protocol.RoomID{}
	for _, room := range rooms {
		if _, ok := heads[room]; ok {
			parts[l.shardOf(room)] = append(parts[l.shardOf(room)], room)
		}
	}
	for s, part := range parts {
		if err := l.in(ctx, s, func() {
			for _, room := range part {
				t := s.topic(room, heads[room])
				_, had := t.followers[f.Session]
				silent := t.last >= heads[room] // nothing is about to be told
				if s.follow(t, f, heads[room], asListed) && !had && silent {
					found = append(found, room)
				}
			}
		}); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Forget is the end of a session here.
func (l *Live) Forget(session protocol.SessionID) {
	user, known, last := l.people.forget(session)
	if !known {
		return
	}
	if last {
		l.interest.drop(userKey(user))
	}
	l.everywhere(func(s *shard) { s.forget(session) })
}

// Away notes whether a session has no socket: then its user is not here.
func (l *Live) Away(session protocol.SessionID, away bool) {
	if l.people.away(session, away) {
		l.everywhere(func(s *shard) { s.away(session, away) })
	}
}

// everywhere runs f in all shards, without waiting for it.
func (l *Live) everywhere(f func(*shard)) {
	for _, s := range l.shards {
		select {
		case s.do <- func() { f(s) }:
		case <-l.life.Done():
		}
	}
}

// Opened reports whether the session has the conversation open.
func (l *Live) Opened(session protocol.SessionID, room protocol.RoomID) bool {
	return l.people.hasOpen(session, room)
}

package signaling

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rondo-chat/rondo/internal/pause"
)

const (
	// saveBatch is how many records go into one call of the store.
	saveBatch = 128
	// renewBatch is how many sessions one call prolongs.
	renewBatch = 1000
	// renewSample is how many sessions each renewal of the lease prolongs, to see
	// whether the store still has them.
	renewSample = 16
	// storeTime bounds a call for which a client waits.
	storeTime = time.Second
	// downBeat is the pause between tries to renew while the store is down.
	downBeat = 250 * time.Millisecond
)

// keeper keeps the records of a hub's sessions in the store: it writes behind,
// each session's latest state only, as fast as the store takes them; renews the
// node's lease; and finds sessions that another node has taken.
type keeper struct {
	hub   *Hub
	store Store
	kick  chan struct{}  // buffered: something is dirty
	again chan struct{}  // buffered: the store is back, perhaps empty
	down  atomic.Bool    // the last call failed
	asked atomic.Int64   // hub clock: end of the last attempt to renew
	held  atomic.Int64   // hub clock: begin of the last renewal that went through
	all   time.Duration  // hub clock: the last time that all sessions were prolonged; owned by run
	done  sync.WaitGroup // what start began

	mu    sync.Mutex
	dirty map[*Session]struct{}
}

func newKeeper(h *Hub) *keeper {
	return &keeper{hub: h, store: h.cfg.Store, kick: make(chan struct{}, 1), again: make(chan struct{}, 1), dirty: map[*Session]struct{}{}}
}

func (p *keeper) start() {
	p.beat()
	p.done.Go(p.writeBehind)
	p.done.Go(p.run)
}

// ttl is how long a record outlives its node.
func (p *keeper) ttl() time.Duration { return 2*p.hub.cfg.Limits.Grace + p.hub.cfg.Limits.Lease }

// touch has a session saved soon. It may be called under the session's lock.
func (p *keeper) touch(s *Session) {
	p.mu.Lock()
	p.dirty[s] = struct{}{}
	p.mu.Unlock()
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// writeBehind saves what is dirty until the hub closes.
func (p *keeper) writeBehind() {
	for {
		select {
		case <-p.hub.ctx.Done():
			return
		case <-p.kick:
		}
		for batch := p.batch(); len(batch) > 0; batch = p.batch() {
			if err := p.save(p.hub.ctx, batch); err == nil {
				continue
			}
			if pause.For(p.hub.ctx, storeTime/2) != nil {
				return
			}
		}
	}
}

func (p *keeper) batch() []*Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	batch := make([]*Session, 0, min(len(p.dirty), saveBatch))
	for s := range p.dirty {
		if len(batch) == saveBatch {
			break
		}
		batch = append(batch, s)
		delete(p.dirty, s)
	}
	return batch
}

// save saves the sessions as they are now. Those that belong to another node
// are dropped here; where the store fails, they stay dirty.
func (p *keeper) save(ctx context.Context, sessions []*Session) error {
	var records []*Record
	var of []*Session
	for _, s := range sessions {
		if r := s.record(); r != nil {
			records, of = append(records, r), append(of, s)
		}
	}
	if len(records) == 0 {
		return nil
	}
	saved, err := p.call(ctx, "save", func(ctx context.Context) ([]bool, error) { return p.store.Save(ctx, p.ttl(), records) })
	if err != nil {
		for _, s := range of {
			p.touch(s) // not those that have ended meanwhile
		}
		return err
	}
	for i, ok := range saved {
		if ok {
			of[i].stored(records[i].Rev)
		} else {
			p.hub.spawn(of[i].fenced)
		}
	}
	return nil
}

// saveNow saves one session while its client waits. It returns false if the
// session belongs to another node by now. A store that does not answer makes it
// an ordinary write behind: what is local goes on without it.
func (p *keeper) saveNow(ctx context.Context, s *Session) bool {
	r := s.record()
	if p.down.Load() || r == nil {
		p.touch(s)
		return true
	}
	saved, err := p.call(ctx, "save", func(ctx context.Context) ([]bool, error) { return p.store.Save(ctx, p.ttl(), []*Record{r}) })
	if err != nil {
		p.touch(s)
		return true
	}
	if saved[0] {
		s.stored(r.Rev)
	}
	return saved[0]
}

// remove removes a session's record. It returns false if the session belongs to
// another node.
func (p *keeper) remove(s *Session) bool {
	if p.down.Load() {
		return true // it expires
	}
	ours, err := p.call(context.Background(), "remove", func(ctx context.Context) ([]bool, error) {
		ok, err := p.store.Remove(ctx, s.id, p.hub.cfg.Node, s.moves)
		return []bool{ok}, err
	})
	return err != nil || ours[0]
}

// call bounds and counts a call.
func (p *keeper) call(ctx context.Context, what string, f func(context.Context) ([]bool, error)) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	res, err := f(ctx)
	p.went(what, err)
	return res, err
}

func (p *keeper) went(what string, err error) {
	if err != nil {
		p.hub.m.storeFailures.WithLabelValues(what).Inc()
	}
	if was := p.down.Swap(err != nil); was != (err != nil) {
		if err != nil {
			p.hub.log.Warn("signaling: sessions are not stored", "err", err)
		} else {
			p.hub.log.Info("signaling: sessions are stored again")
			select {
			case p.again <- struct{}{}:
			default:
			}
		}
	}
}

// run renews the lease until the hub closes.
func (p *keeper) run() {
	lease := p.hub.cfg.Limits.Lease
	for {
		wait := lease / 4
		if p.down.Load() || p.all == 0 { // down, or just back
			wait = min(wait, downBeat)
		}
		t := time.NewTimer(wait)
		select {
		case <-p.hub.ctx.Done():
			t.Stop()
			return
		case <-p.again:
			t.Stop()
			p.all = 0
		case <-t.C:
		}
		p.beat()
	}
}

// beat renews the lease, and prolongs all records once in a while: at once when
// the lease had run out, for others may have taken sessions meanwhile, and when
// the store was away or has lost records.
func (p *keeper) beat() {
	h := p.hub
	begin := h.clock()
	lapsed := begin-time.Duration(p.held.Load()) >= h.cfg.Limits.Lease
	some := p.sample()
	missing, err := p.renew(some)
	p.asked.Store(int64(h.clock()))
	if err != nil {
		return
	}
	p.held.Store(int64(begin))
	lost := missing >= min(2, len(some)) && missing > 0 // one may not have been stored yet
	if !lapsed && !lost && p.all != 0 && begin-p.all < p.ttl()/4 {
		return
	}
	sessions := h.all()
	for len(sessions) > 0 {
		n := min(len(sessions), renewBatch)
		if _, err := p.renew(sessions[:n]); err != nil {
			return // with the next beat
		}
		sessions = sessions[n:]
	}
	p.all = max(begin, 1)
}

// sample is some of the sessions.
func (p *keeper) sample() []*Session {
	h := p.hub
	h.mu.RLock()
	defer h.mu.RUnlock()
	some := make([]*Session, 0, renewSample)
	for _, s := range h.sessions { // in no order
		if some = append(some, s); len(some) == renewSample {
			break
		}
	}
	return some
}

// renew prolongs the sessions' records, stores what is missing, which it counts,
// and drops what is another node's.
func (p *keeper) renew(sessions []*Session) (missing int, err error) {
	own := make([]Holding, len(sessions))
	for i, s := range sessions {
		own[i] = s.holding()
	}
	ctx, cancel := context.WithTimeout(p.hub.ctx, storeTime)
	defer cancel()
	holds, err := p.store.Renew(ctx, p.hub.cfg.Node, p.hub.cfg.Limits.Lease, p.ttl(), own)
	p.went("renew", err)
	for i, hold := range holds {
		switch hold {
		case Missing:
			missing++
			p.touch(sessions[i])
		case Taken:
			p.hub.spawn(sessions[i].fenced)
		}
	}
	return missing, err
}

// asleep reports whether this process has not even tried to renew its lease
// for longer than that runs: it was stopped, and others may have its sessions.
func (p *keeper) asleep() bool {
	return p.hub.clock()-time.Duration(p.asked.Load()) >= p.hub.cfg.Limits.Lease
}

// mine asks whether the session is still this node's. Where the store does not
// answer, it is.
func (p *keeper) mine(s *Session) bool {
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	holds, err := p.store.Renew(ctx, p.hub.cfg.Node, p.hub.cfg.Limits.Lease, p.ttl(), []Holding{s.holding()})
	p.went("renew", err)
	return err != nil || holds[0] != Taken
}

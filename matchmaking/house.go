package matchmaking

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// sweepLimit is how much of a kind one call of Queue.Sweep takes out, and
	// sweepRounds how often it is called in a row.
	sweepLimit  = 256
	sweepRounds = 200
	// missingChunk is how many searches one call of Queue.Missing asks for.
	missingChunk = 200
)

// keepHouse does for one part what must be done again and again: renew the
// lease, compare own searches with the queue, sweep, count. Each part has its
// own, so that one that does not answer holds up no other.
func (m *Matcher) keepHouse(p *part) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var reconciled time.Time
	for {
		select {
		case <-m.life.Done():
			return
		case <-timer.C:
		}
		looked := int(p.pool.looked.Load())
		if p.index < looked && time.Since(reconciled) >= m.cfg.Reconcile {
			reconciled = time.Now()
			m.reconcile(p)
		}
		if p.index < looked && !p.down.Load() {
			m.sweep(m.life, p)
		}
		if p.index <= looked && !p.down.Load() { // one beyond: others may be there
			m.refresh(m.life, p)
		}
		if p.index == 0 {
			m.resize(p.pool)
		}
		// Nodes need not sweep in step.
		timer.Reset(m.cfg.Sweep*9/10 + rand.N(m.cfg.Sweep/5+1))
	}
}

// reconcile renews the node's lease and, if the queue answers, enters own
// searches again that it does not know, and makes leaves that failed.
func (m *Matcher) reconcile(p *part) {
	err := m.renew(m.life, p, NodeTTL)
	if m.life.Err() != nil {
		return
	}
	if was := p.down.Swap(err != nil); was != (err != nil) {
		if err != nil {
			m.cfg.Logger.Warn("queue out of reach", "pool", p.name, "err", err)
		} else {
			m.cfg.Logger.Info("queue back", "pool", p.name)
		}
	}
	if err != nil {
		return
	}
	m.leaveAgain(p)
	refs := m.reenterLost(p)
	for len(refs) > 0 {
		n := min(len(refs), missingChunk)
		m.reenterMissing(p, refs[:n])
		refs = refs[n:]
	}
}

func (m *Matcher) renew(ctx context.Context, p *part, ttl time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	start := time.Now()
	err := m.cfg.Queue.Renew(ctx, p.name, m.cfg.Node, ttl)
	m.metrics.called("renew", start, err)
	return err
}

// leaveAgain makes the leaves that failed.
func (m *Matcher) leaveAgain(p *part) {
	m.mu.Lock()
	var mine, others []leave
	for _, l := range m.leaves {
		if l.part == p.name {
			mine = append(mine, l)
		} else {
			others = append(others, l)
		}
	}
	m.leaves = others
	m.mu.Unlock()
	for _, l := range mine {
		m.leaveLater(l.part, l.ref)
	}
}

// reenterLost has searches entered whose last Enter failed. It returns the
// others that should be in the queue, and notes the oldest.
func (m *Matcher) reenterLost(p *part) (refs []Ref) {
	now := time.Now()
	var oldest time.Duration
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.searches {
		if s.part != p {
			continue
		}
		oldest = max(oldest, now.Sub(s.start))
		switch {
		case s.state != waiting || s.entering || s.queued:
		case s.strayedLocked(now):
			m.enterSoonLocked(s)
		case s.lost:
			m.metrics.reentered.WithLabelValues("failed").Inc()
			m.enterSoonLocked(s)
		default:
			refs = append(refs, s.ref())
		}
	}
	if p.index == 0 { // people of other parts have come from there
		m.metrics.oldest.WithLabelValues(p.pool.Name).Set(oldest.Seconds())
	}
	return refs
}

// reenterMissing has searches entered that the queue does not know.
func (m *Matcher) reenterMissing(p *part, refs []Ref) {
	ctx, cancel := context.WithTimeout(m.life, m.cfg.Timeout)
	defer cancel()
	start := time.Now()
	missing, err := m.cfg.Queue.Missing(ctx, p.name, refs)
	m.metrics.called("missing", start, err)
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, i := range missing {
		s := m.searches[refs[i].Session]
		if s != nil && s.epoch == refs[i].Epoch && s.state == waiting && !s.entering && !s.queued {
			m.metrics.reentered.WithLabelValues("missing").Inc()
			m.enterSoonLocked(s)
		}
	}
}

func (m *Matcher) sweep(ctx context.Context, p *part) {
	for range sweepRounds {
		callCtx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
		start := time.Now()
		swept, err := m.cfg.Queue.Sweep(callCtx, p.name, sweepLimit)
		cancel()
		m.metrics.called("sweep", start, err)
		m.metrics.swept(swept)
		if err != nil || !swept.More(sweepLimit) {
			return
		}
	}
}

// retire ends all own searches and takes them out of the queue.
func (m *Matcher) retire(ctx context.Context) error {
	if !m.started.Load() {
		return nil
	}
	var stopped []*search
	var each sync.WaitGroup
	m.mu.Lock()
	for id, s := range m.searches {
		switch s.state {
		case over: // it is being told of its match
		case offered, accepting, deciding: // the queue must be asked one by one
			each.Add(1)
			m.crew.do(func() {
				defer each.Done()
				if m.stop(ctx, id, quit) {
					m.tellStopped(s)
				}
			})
		default:
			m.endLocked(s)
			stopped = append(stopped, s)
		}
	}
	m.mu.Unlock()
	each.Wait()
	var errs []error
	for _, p := range m.order {
		for _, q := range p.parts[:p.looked.Load()] {
			if err := m.renew(ctx, q, 0); err != nil {
				errs = append(errs, err)
				continue
			}
			m.sweep(ctx, q)
		}
	}
	for _, s := range stopped {
		m.tellStopped(s)
	}
	return errors.Join(errs...)
}

func (m *Matcher) tellStopped(s *search) {
	m.mu.Lock()
	m.tell(s, func() { m.cfg.Hooks.Stopped(s.asker.Session, unavailable()) })
}

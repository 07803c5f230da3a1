package table

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/client/bench/wire"
	"github.com/rondo-chat/rondo/internal/pause"
)

// side is a server with the pairs that load it.
type side struct {
	*process
	pairs [][2]*speaker
}

// shape is a way to relay: each end sends window messages of so many bytes at once, turns times.
type shape struct {
	name                 string
	bytes, window, turns int
}

// shapes stay below what a session may send before it lets others go first, which is a
// protection with a cost of its own: 64 KiB at once, each message a kilobyte more than it has.
func (g *group) shapes() []shape {
	return []shape{
		{"500 B, one in flight", 500, 1, g.size(36, 24)}, {"500 B, bursts of 16", 500, 16, 2}, {"12 kB", 12_000, 1, 4},
	}
}

// breath lets sessions send as much again.
const breath = 5 * time.Second

func (g *group) breathe(ctx context.Context) error {
	if g.cfg.Quick {
		return nil
	}
	return pause.For(ctx, breath)
}

func (g *group) relay(ctx context.Context) error {
	n := g.size(200, 20)
	s, ours, raw, err := g.bothPairs(ctx, n)
	if err != nil {
		return err
	}
	example, err := g.gorillaPairs(ctx, n)
	if err != nil {
		return err
	}
	return g.rounds(ctx, func(int) error {
		for _, sh := range g.shapes() {
			if err := g.breathe(ctx); err != nil {
				return err
			}
			costs, err := inTurns(sh, ours, raw, example)
			if err != nil {
				return err
			}
			g.add(sh.name, costs[0], costs[1])
			g.add(sh.name+": gorilla's chat example", costs[2], costs[1])
		}
		if err := g.breathe(ctx); err != nil {
			return err
		}
		return g.relayAllocations(ctx, s, ours)
	})
}

// relayAllocations counts what the server allocates for a message.
func (g *group) relayAllocations(ctx context.Context, s *server, ours *side) error {
	sh := shape{"", 500, 1, 16}
	objects, err := s.allocates(ctx, func() error { return exchange(ours.pairs, sh) })
	if err != nil {
		return err
	}
	g.add("allocations for each message", objects/float64(sh.messages(ours)), 0)
	return nil
}

// allocates is how many objects the server allocates while f runs, without those of the two looks.
func (s *server) allocates(ctx context.Context, f func() error) (float64, error) {
	var at [3]float64
	for i := range at {
		if i == 2 {
			if err := f(); err != nil {
				return 0, err
			}
		}
		var err error
		if at[i], err = s.mallocs(ctx); err != nil {
			return 0, err
		}
	}
	return max(0, at[2]-at[1]-(at[1]-at[0])), nil
}

// messages is how many the shape relays.
func (sh shape) messages(s *side) int { return 2 * len(s.pairs) * sh.window * sh.turns }

// inTurns relays the shape by each side and returns the microseconds of CPU of a message.
func inTurns(sh shape, sides ...*side) ([]float64, error) {
	costs := make([]float64, len(sides))
	for i, s := range sides {
		used, err := s.during(func() error { return exchange(s.pairs, sh) })
		if err != nil {
			return nil, err
		}
		costs[i] = float64(used.Nanoseconds()) / 1000 / float64(sh.messages(s))
	}
	return costs, nil
}

// during is what the process uses while f runs.
func (p *process) during(f func() error) (time.Duration, error) {
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := p.cpu()
	return after - before, err
}

// bothPairs are n pairs at a server of ours, and as many at a bare relay.
func (g *group) bothPairs(ctx context.Context, n int) (s *server, ours, raw *side, err error) {
	if s, err = g.rondo(ctx); err != nil {
		return nil, nil, nil, err
	}
	if ours, err = g.rondoPairs(ctx, s, n); err != nil {
		return nil, nil, nil, err
	}
	raw, err = g.barePairs(ctx, n)
	return s, ours, raw, err
}

// rondoPairs are n pairs of guests that were matched.
func (g *group) rondoPairs(ctx context.Context, s *server, n int) (*side, error) {
	all, err := g.crowd(ctx, 2*n, func(i int) (*speaker, error) { return guest(ctx, s, i) })
	if err != nil {
		return nil, err
	}
	pairs, err := meet(all)
	return &side{process: s.process, pairs: pairs}, err
}

func (g *group) barePairs(ctx context.Context, n int) (*side, error) {
	p, err := g.reference("relay", false)
	if err != nil {
		return nil, err
	}
	all, err := g.inOrder(2*n, func(i int) (*speaker, error) { return bare(ctx, p, i) })
	return &side{process: p, pairs: inPairs(all)}, err
}

func (g *group) gorillaPairs(ctx context.Context, n int) (*side, error) {
	p, err := g.reference("gorilla", false)
	if err != nil {
		return nil, err
	}
	all, err := g.inOrder(2*n, func(i int) (*speaker, error) {
		c, err := wire.DialWebSocket(ctx, "ws://"+p.addr, "", i, nil)
		if err != nil {
			return nil, err
		}
		return &speaker{Conn: c}, nil
	})
	return &side{process: p, pairs: inPairs(all)}, err
}

// exchange lets the two of each pair send each other messages until both have had all.
func exchange(pairs [][2]*speaker, sh shape) error {
	var all []*speaker
	for _, p := range pairs {
		all = append(all, p[0], p[1])
	}
	return together(all, func(i int, s *speaker) error {
		if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		m := signal(s.roomFor(), sh.bytes)
		if i%2 == 0 {
			if err := s.burst(m, sh.window); err != nil {
				return err
			}
		}
		for turn := range sh.turns {
			for range sh.window {
				if _, err := s.take([]byte(signalMark)); err != nil {
					return err
				}
			}
			if i%2 == 0 && turn == sh.turns-1 {
				break
			}
			if err := s.burst(m, sh.window); err != nil {
				return err
			}
		}
		return nil
	})
}

// roomFor is the room in messages; references get one of the same length.
func (s *speaker) roomFor() string {
	if s.room == "" {
		return "k3000000000000000000000"
	}
	return s.room
}

// burst sends a message n times in one write.
func (s *speaker) burst(m message, n int) error {
	for range n {
		s.put(m)
	}
	return s.flush()
}

// latency sends at a rate that does not wait for what came before.
func (g *group) latency(ctx context.Context) error {
	n := g.size(200, 50)
	rate, length := float64(g.size(4000, 500)), g.size(3, 1)
	_, ours, raw, err := g.bothPairs(ctx, n)
	if err != nil {
		return err
	}
	return g.rounds(ctx, func(int) error {
		var took [2][]float64
		var err error
		for i, s := range []*side{ours, raw} {
			if took[i], err = openLoop(ctx, s.pairs, rate, time.Duration(length)*time.Second); err != nil {
				return err
			}
		}
		for _, q := range []struct {
			name string
			at   float64
		}{{"p50", 0.5}, {"p99", 0.99}} {
			g.add("4,000 messages/s, "+q.name, quantile(took[0], q.at), quantile(took[1], q.at))
		}
		return nil
	})
}

// quantile of sorted values.
func quantile(sorted []float64, q float64) float64 {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// openLoop sends messages when they are due, whatever became of the earlier ones, and returns after how
// many milliseconds they arrived, sorted.
func openLoop(ctx context.Context, pairs [][2]*speaker, rate float64, length time.Duration) ([]float64, error) {
	var all []*speaker
	for _, p := range pairs {
		all = append(all, p[0], p[1])
	}
	total := int(rate*length.Seconds()) / len(all) * len(all)
	took := make([][]float64, len(all))
	var readers sync.WaitGroup
	errs := make([]error, len(all))
	for i, s := range all {
		readers.Go(func() { took[i], errs[i] = s.arrivals(total/len(all), length) })
	}
	texts := make([]message, len(all))
	for i, s := range all {
		texts[i] = signal(s.roomFor(), 500)
		texts[i].ack = 0 // the reader acknowledges
	}
	began := time.Now()
	var failed error
	for i := 0; i < total && failed == nil; i++ {
		due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if failed = pause.For(ctx, time.Until(due)); failed != nil {
			break
		}
		s, m := all[i%len(all)], texts[i%len(all)]
		strconv.AppendInt(m.text[m.at:m.at], due.UnixNano(), 10)
		s.put(m)
		failed = s.flush()
	}
	readers.Wait()
	if failed = firstOf(append(errs, failed)); failed != nil {
		return nil, failed
	}
	list := slices.Concat(took...)
	slices.Sort(list)
	return list, nil
}

// arrivals reads n messages and returns how old each was, in milliseconds.
func (s *speaker) arrivals(n int, length time.Duration) ([]float64, error) {
	if err := s.SetReadDeadline(time.Now().Add(length + patience)); err != nil {
		return nil, err
	}
	var took []float64
	for range n {
		raw, err := s.take([]byte(signalMark))
		if err != nil {
			return nil, err
		}
		due, ok := stamp(raw)
		if !ok {
			continue
		}
		took = append(took, float64(time.Now().UnixNano()-due)/1e6)
	}
	return took, nil
}

// stamp is when a message was due, in nanoseconds since 1970.
func stamp(raw []byte) (int64, bool) {
	_, rest, ok := bytes.Cut(raw, []byte(`"at":"`))
	if !ok || len(rest) < 19 {
		return 0, false
	}
	due, err := strconv.ParseInt(string(rest[:19]), 10, 64)
	return due, err == nil
}

package table

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/internal/pause"
	"github.com/rondo-chat/rondo/protocol"
)

// askers are the users of one server who look for one another. They are new in each round, for who has met is
// kept apart for a while.
type askers struct {
	*process
	dial func(i int) (*speaker, error)
	all  []*speaker
}

// find asks for a partner.
func (s *speaker) find() error { return s.request(protocol.TypeMatchFind, "", `{"pool":"text"}`) }

func (g *group) match(ctx context.Context) error {
	meeting, err := g.reference("meet", false)
	if err != nil {
		return err
	}
	ref := &askers{process: meeting, dial: func(i int) (*speaker, error) { return bare(ctx, meeting, i) }}
	memory, err := g.askers(ctx)
	if err != nil {
		return err
	}
	var redis *process
	var shared *askers
	if g.cfg.Redis == "" {
		g.lacks("Redis", "no redis-server")
	} else {
		if redis, err = g.redis(ctx); err != nil {
			return err
		}
		if shared, err = g.askers(ctx, "--redis", "redis://"+redis.addr+"/0"); err != nil {
			return err
		}
	}
	return g.rounds(ctx, func(int) error {
		g := g.part()
		defer g.end()
		for _, a := range []*askers{ref, memory, shared} {
			if a == nil {
				continue
			}
			if a.all, err = g.crowd(ctx, g.size(1000, 100), a.dial); err != nil {
				return err
			}
		}
		bare, err := ref.measure(ctx)
		if err != nil {
			return err
		}
		ours, err := memory.measure(ctx)
		if err != nil {
			return err
		}
		g.addMatching("memory", ours, bare)
		if redis != nil {
			return g.matchRedis(ctx, redis, shared, bare)
		}
		return nil
	})
}

// askers are those of a new server.
func (g *group) askers(ctx context.Context, args ...string) (*askers, error) {
	s, err := g.rondo(ctx, args...)
	if err != nil {
		return nil, err
	}
	return &askers{process: s.process, dial: func(i int) (*speaker, error) { return guest(ctx, s, i) }}, nil
}

// matching is what a round measured.
type matching struct {
	perSecond, cpu float64 // pairs a second when all ask at once; milliseconds of CPU for each pair
	p50, p99       float64 // milliseconds, of pairs that ask one after another
}

func (g *group) addMatching(driver string, ours, bare matching) {
	g.add(driver+": both asked → both told, p50", ours.p50, bare.p50)
	g.add(driver+": both asked → both told, p99", ours.p99, bare.p99)
	g.add(driver+": 1,000 ask at once", ours.perSecond, bare.perSecond)
	g.add(driver+": CPU for each pair", ours.cpu, bare.cpu)
}

// matchRedis measures matching over Redis, and Redis.
func (g *group) matchRedis(ctx context.Context, redis *process, a *askers, bare matching) error {
	ping, err := ping(ctx, redis, 200)
	if err != nil {
		return err
	}
	plain, err := zadd(ctx, redis, g.size(20_000, 2000))
	if err != nil {
		return err
	}
	var ours matching
	used, err := redis.during(func() (err error) { ours.perSecond, ours.cpu, err = a.burst(); return err })
	if err != nil {
		return err
	}
	if ours.p50, ours.p99, err = a.oneByOne(ctx); err != nil {
		return err
	}
	g.addMatching("Redis", ours, bare)
	g.add("Redis: its own CPU for each pair, beside ZADD", float64(used.Nanoseconds())/1000/float64(len(a.all)/2), plain)
	g.add("Redis: both told p50, beside PING", ours.p50, ping)
	return nil
}

// measure lets all ask at once, and then two at a time.
func (a *askers) measure(ctx context.Context) (m matching, err error) {
	if m.perSecond, m.cpu, err = a.burst(); err != nil {
		return m, err
	}
	m.p50, m.p99, err = a.oneByOne(ctx)
	return m, err
}

// burst lets all ask at once. All are told once, or it fails.
func (a *askers) burst() (perSecond, cpu float64, err error) {
	began := time.Now()
	var took time.Duration
	used, err := a.during(func() error {
		err := together(a.all, func(_ int, s *speaker) error {
			if err := s.find(); err != nil {
				return err
			}
			return s.told()
		})
		took = time.Since(began)
		return err
	})
	pairs := float64(len(a.all) / 2)
	return pairs / took.Seconds(), used.Seconds() * 1000 / pairs, err
}

// told reads until the speaker has a partner.
func (s *speaker) told() error {
	if !s.rondo {
		_, err := s.Next()
		return err
	}
	m, err := s.until(protocol.TypeMatchFound)
	s.room = m.Room
	return err
}

// oneByOne lets two at a time ask who have not met before, and returns how long it took from when the
// second one asked until both were told.
func (a *askers) oneByOne(ctx context.Context) (p50, p99 float64, err error) {
	slices.SortFunc(a.all, func(x, y *speaker) int { return cmp.Compare(x.room, y.room) })
	if err := a.leave(); err != nil {
		return 0, 0, err
	}
	var took []float64
	for _, two := range inPairs(append(a.all[1:], a.all[0])) {
		if err := two[0].find(); err != nil {
			return 0, 0, err
		}
		asked := time.Now()
		if err := two[1].find(); err != nil {
			return 0, 0, err
		}
		for _, s := range two {
			if err := s.told(); err != nil {
				return 0, 0, err
			}
		}
		took = append(took, float64(time.Since(asked).Nanoseconds())/1e6)
		if err := pause.For(ctx, time.Millisecond); err != nil {
			return 0, 0, err
		}
	}
	slices.Sort(took)
	return quantile(took, 0.5), quantile(took, 0.99), nil
}

// leave lets all leave their rooms.
func (a *askers) leave() error {
	return together(a.all, func(_ int, s *speaker) error {
		if s.room == "" {
			return nil
		}
		room := s.room
		s.room = ""
		if err := s.request(protocol.TypeRoomLeave, room, `{}`); err != nil {
			return err
		}
		for {
			raw, err := s.Next()
			if err != nil {
				return err
			}
			m, err := s.control(raw)
			if m.ID == s.id {
				return nil // also when the partner has ended it before
			}
			if err != nil {
				return err
			}
		}
	})
}

package table

import (
	"context"
	"crypto/tls"
	"math"
	"time"

	"github.com/rondo-chat/rondo/client/bench"
	"github.com/rondo-chat/rondo/client/bench/wire"
	"github.com/rondo-chat/rondo/internal/pause"
)

// idle measures what a connection costs that does nothing. Memory that was used once is given back late,
// so each round has processes of its own.
func (g *group) idle(ctx context.Context) error {
	return g.rounds(ctx, func(int) error {
		for _, v := range []struct {
			name string
			n    int
			tls  bool
		}{{"plain", g.size(10_000, 500), false}, {"TLS", g.size(2500, 200), true}} {
			ours, err := g.idleSessions(ctx, v.n, v.tls)
			if err != nil {
				return err
			}
			ref, err := g.idleBare(ctx, v.n, v.tls)
			if err != nil {
				return err
			}
			g.add(v.name+": memory of an idle session", ours, ref)
		}
		return g.comeAndStay(ctx)
	})
}

// comeAndStay measures the work of a new session, and that of a ping and its answer.
func (g *group) comeAndStay(ctx context.Context) error {
	const every = 2 * time.Second
	n := g.size(2000, 100)
	g = g.part()
	defer g.end()
	s, err := g.rondo(ctx, "--ping", every.String())
	if err != nil {
		return err
	}
	var all []*speaker
	used, err := s.during(func() (err error) {
		all, err = g.crowd(ctx, n, func(i int) (*speaker, error) { return guest(ctx, s, i) })
		return err
	})
	if err != nil {
		return err
	}
	g.add("a new session", used.Seconds()*1e6/float64(n), 0)
	for _, who := range all {
		go who.ignore()
	}
	if err := pause.For(ctx, every); err != nil { // what is left of the arrivals
		return err
	}
	used, err = s.during(func() error { return pause.For(ctx, 2*every) })
	g.add("a heartbeat", used.Seconds()*1e6/float64(2*n), 0)
	return err
}

// part is for what ends before its group does.
func (g *group) part() *group {
	return &group{cfg: g.cfg, name: g.name, sums: g.sums, missing: g.missing}
}

// idleSessions is what each of n sessions adds to the server's memory, in KiB.
func (g *group) idleSessions(ctx context.Context, n int, secure bool) (float64, error) {
	g = g.part()
	defer g.end()
	var args []string
	if secure {
		args = []string{"--tls-self-signed"}
	}
	s, err := g.rondo(ctx, args...)
	if err != nil {
		return 0, err
	}
	return g.grows(ctx, s.process, n, func(i int) (*speaker, error) { return guest(ctx, s, i) })
}

// idleBare is the same of bare connections.
func (g *group) idleBare(ctx context.Context, n int, secure bool) (float64, error) {
	g = g.part()
	defer g.end()
	p, err := g.reference("idle", secure)
	if err != nil {
		return 0, err
	}
	var conf *tls.Config
	if secure {
		conf = &tls.Config{InsecureSkipVerify: true} // it was made for this run
	}
	return g.grows(ctx, p, n, func(i int) (*speaker, error) {
		c, err := wire.DialLength(ctx, p.addr, i, conf)
		if err != nil {
			return nil, err
		}
		return &speaker{Conn: c}, nil
	})
}

// grows is how much memory the process has more with n connections than with a fifth of them, in KiB, for each
// that is between: the first ones find room in what the process needed to start.
func (g *group) grows(ctx context.Context, p *process, n int, dial func(i int) (*speaker, error)) (float64, error) {
	var at [2]float64
	for i, part := range [][2]int{{0, n / 5}, {n / 5, n}} {
		from, count := part[0], part[1]-part[0]
		if _, err := g.crowd(ctx, count, func(i int) (*speaker, error) { return dial(from + i) }); err != nil {
			return 0, err
		}
		var err error
		if at[i], err = g.calm(ctx, p); err != nil {
			return 0, err
		}
	}
	return (at[1] - at[0]) / 1024 / float64(n-n/5), nil
}

// calm waits until the memory of a process stays for two seconds, at most for ten, and returns it.
func (g *group) calm(ctx context.Context, p *process) (float64, error) {
	const step = 250 * time.Millisecond
	still, most := g.size(8, 1), g.size(40, 2)
	last, same := math.Inf(1), 0
	for range most {
		rss, err := bench.RSS(p.pid())
		if err != nil {
			return 0, err
		}
		if v := float64(rss); math.Abs(v-last) > 0.005*last || math.IsInf(last, 1) {
			last, same = v, 0
		} else if same++; same == still {
			return v, nil
		}
		if err := pause.For(ctx, step); err != nil {
			return 0, err
		}
	}
	return last, nil
}

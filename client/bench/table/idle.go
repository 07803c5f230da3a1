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
		}{{"plain", g.size(10_000, 500), false}, {"TLS", g.size(3000, 200), true}} {
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
		return nil
	})
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
	return g.grows(ctx, s.process, n, func() error {
		_, err := g.crowd(ctx, n, func(i int) (*speaker, error) { return guest(ctx, s, i) })
		return err
	})
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
	return g.grows(ctx, p, n, func() error {
		_, err := g.crowd(ctx, n, func(i int) (*speaker, error) {
			c, err := wire.DialLength(ctx, p.addr, i, conf)
			return &speaker{Conn: c}, err
		})
		return err
	})
}

// grows is how much memory the process has more after f than before, in KiB, for each of n.
func (g *group) grows(ctx context.Context, p *process, n int, f func() error) (float64, error) {
	before, err := g.calm(ctx, p)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := g.calm(ctx, p)
	return (after - before) / 1024 / float64(n), err
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

package table

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/rondo-chat/rondo/client/bench/turnload"
	"github.com/rondo-chat/rondo/internal/pause"
)

// turn compares relays with coturn; package turnload says how.
func (g *group) turn(ctx context.Context) error {
	if g.cfg.Coturn == "" {
		g.lacks("", "no turnserver")
		return nil
	}
	load := turnload.Load{Allocations: g.size(100, 20), PerSecond: g.size(20_000, 2000)}
	ours, err := g.turnField(ctx, "rondo", load)
	if err != nil {
		return err
	}
	ref, err := g.turnField(ctx, "coturn", load)
	if err != nil {
		return err
	}
	err = g.rounds(ctx, func(int) error {
		rep, err := turnload.Compare(ctx, ours, ref, turnload.Scenarios(), 1)
		if err != nil {
			return err
		}
		var results, others []turnload.Result
		for _, l := range rep.Lines {
			g.add(turnLine(l.Scenario), l.Ours[0].PerMillion(), l.Reference[0].PerMillion())
			results, others = append(results, l.Ours...), append(others, l.Reference...)
		}
		g.add("lost at 20,000 packets/s", 100*turnload.Loss(results), 100*turnload.Loss(others))
		return nil
	})
	if err != nil {
		return err
	}
	return g.rounds(ctx, func(int) error {
		var each [2]float64
		for i, name := range []string{"rondo", "coturn"} {
			if each[i], err = g.turnMemory(ctx, name); err != nil {
				return err
			}
		}
		g.add("memory of an allocation", each[0], each[1])
		return nil
	})
}

// turnLine is the name of a scenario's line. Microseconds for a packet are seconds for a million.
func turnLine(s turnload.Scenario) string {
	way := map[turnload.Way]string{turnload.Up: "client → peer", turnload.Down: "peer → client", turnload.Pair: "relay ↔ relay"}[s.Way]
	if s.Burst == 1 {
		return way + ", single"
	}
	return way + ", bursts of 7"
}

// turnMemory is what each allocation adds to a new server's memory, in kB.
func (g *group) turnMemory(ctx context.Context, name string) (float64, error) {
	g = g.part()
	defer g.end()
	s, err := g.turnServer(ctx, name)
	if err != nil {
		return 0, err
	}
	bytes, err := turnload.Memory(s, g.size(900, 100))
	return bytes / 1000, err
}

func (g *group) turnField(ctx context.Context, name string, load turnload.Load) (*turnload.Field, error) {
	s, err := g.turnServer(ctx, name)
	if err != nil {
		return nil, err
	}
	f, err := turnload.NewField(s, load)
	if err != nil {
		return nil, err
	}
	g.ends = append(g.ends, f.Close)
	return f, nil
}

// turnServer starts rondo or coturn as a TURN server and nothing else.
func (g *group) turnServer(ctx context.Context, name string) (turnload.Server, error) {
	const secret = "a secret of the two and of the load"
	dir, err := g.folder()
	if err != nil {
		return turnload.Server{}, err
	}
	at, err := freePort()
	if err != nil {
		return turnload.Server{}, err
	}
	cmd := exec.Command(g.cfg.Coturn, turnload.CoturnArgs(at, secret, dir)...)
	if name == "rondo" {
		file := filepath.Join(dir, "turn-secret")
		if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
			return turnload.Server{}, err
		}
		if out, err := exec.CommandContext(ctx, g.cfg.Rondo, "secret", "--file", filepath.Join(dir, "secret")).CombinedOutput(); err != nil {
			return turnload.Server{}, fmt.Errorf("rondo secret: %w: %s", err, out)
		}
		cmd = exec.Command(g.cfg.Rondo, turnload.RondoArgs(at, file, dir)...)
	}
	p, err := g.start(cmd)
	if err != nil {
		return turnload.Server{}, err
	}
	s := turnload.Server{Name: name, Addr: at, PID: p.pid(), Secret: secret}
	return s, p.await(ctx, func() bool {
		// Both take TCP at the same port, which tells that they are there.
		c, err := net.DialTimeout("tcp", at.String(), 100*time.Millisecond)
		if err != nil {
			return false
		}
		c.Close()
		return pause.For(ctx, 200*time.Millisecond) == nil
	})
}

// freePort is a port of this machine that nobody has now.
func freePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort(), nil
}

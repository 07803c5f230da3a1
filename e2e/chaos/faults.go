package chaos

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rondo-chat/rondo/e2e/chaos/history"
	"github.com/rondo-chat/rondo/e2e/lab"
)

// fault is a thing that goes wrong. make does it, heals it, and says what it was;
// it does nothing where it does not apply ("").
type fault struct {
	name string
	make func(ctx context.Context, w *world) history.Fault
}

// all are the faults of a run on one Redis.
func all() []fault {
	return []fault{killNode(), stopNode(), cutAll(), lowFiles(), restartRedis(), stallRedis(), partition()}
}

// makeFaults makes the plan's faults until its time is over: all of them once in a
// drawn order, then again.
func (w *world) makeFaults(ctx context.Context) {
	pause(ctx, 4*time.Second) // people have met
	for round := 0; len(w.plan.faults) > 0 && w.now() < w.plan.run; round++ {
		for _, i := range w.rng.Perm(len(w.plan.faults)) {
			f := w.plan.faults[i]
			from := w.now()
			if round > 0 && from > w.plan.run || ctx.Err() != nil {
				return
			}
			w.faulty.Store(true)
			h := f.make(ctx, w)
			w.faulty.Store(false)
			if h.Name == "" {
				h.Name = f.name
			}
			h.From, h.To = from, w.now()
			w.mu.Lock()
			w.faults = append(w.faults, h)
			w.mu.Unlock()
			pause(ctx, w.between(w.plan.gap[0], w.plan.gap[1]))
		}
	}
	pause(ctx, w.plan.run-w.now())
}

// watch writes down fail-overs that nobody planned: sentinels and clusters on a busy
// machine take a master for dead that was only late, and what it took last is lost.
func (w *world) watch(ctx context.Context) {
	s, ok := w.store.(interface {
		AtRest() (masters string, ok bool)
	})
	if !ok {
		return
	}
	master, _ := s.AtRest()
	rested, planned := w.now(), false
	for end := false; !end; {
		pause(ctx, 150*time.Millisecond)
		end = ctx.Err() != nil
		m, ok := s.AtRest()
		if planned = planned || w.faulty.Load(); !ok && !end {
			continue
		}
		if (m != master || !ok) && !planned {
			w.mu.Lock()
			w.faults = append(w.faults, history.Fault{Name: "fail-over for no reason", From: rested - 2*time.Second, To: w.now(), Loses: true, Wipes: true})
			w.mu.Unlock()
		}
		master, rested, planned = m, w.now(), w.faulty.Load()
	}
}

// between draws a pause from so many milliseconds.
func (w *world) between(low, high int) time.Duration {
	return time.Duration(low+w.rng.IntN(high-low)) * time.Millisecond
}

// killNode: SIGKILL; a new node takes the place.
func killNode() fault {
	return kill(func(w *world) int { return w.rng.IntN(len(w.opts)) })
}

func kill(pick func(*world) int) fault {
	return fault{"kill -9 of a node", func(ctx context.Context, w *world) history.Fault {
		i := pick(w)
		n := w.node(i)
		w.setNode(i, nil)
		n.Kill()
		pause(ctx, w.between(500, 2000))
		w.setNode(i, lab.Start(w.t, w.opts[i]))
		return history.Fault{Kills: string(n.Node)}
	}}
}

// stopNode: SIGSTOP, as a swapping or paused machine.
func stopNode() fault {
	return fault{"SIGSTOP of a node", func(ctx context.Context, w *world) history.Fault {
		n := w.node(w.rng.IntN(len(w.opts)))
		w.signal(n.PID(), syscall.SIGSTOP)
		pause(ctx, w.between(1000, 3500))
		w.signal(n.PID(), syscall.SIGCONT)
		return history.Fault{Stops: true}
	}}
}

func (w *world) signal(pid int, sig syscall.Signal) {
	if err := syscall.Kill(pid, sig); err != nil {
		w.t.Errorf("%v to %d: %v", sig, pid, err)
	}
}

// cutAll: every connection of the users is reset at once, and they all come back.
func cutAll() fault {
	return fault{"reset of all connections", func(ctx context.Context, w *world) history.Fault {
		w.mu.Lock()
		wires := w.wires
		w.mu.Unlock()
		for _, wire := range wires {
			wire.cut()
		}
		return history.Fault{}
	}}
}

// lowFiles: the node may open no more files than it has open.
func lowFiles() fault {
	return fault{"no file descriptors left on a node", func(ctx context.Context, w *world) history.Fault {
		n := w.node(w.rng.IntN(len(w.opts)))
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.PID()))
		if err != nil {
			w.t.Error(err)
			return history.Fault{}
		}
		var old unix.Rlimit
		if err := unix.Prlimit(n.PID(), unix.RLIMIT_NOFILE, nil, &old); err != nil {
			w.t.Error(err)
			return history.Fault{}
		}
		tight := unix.Rlimit{Cur: uint64(len(open)), Max: old.Max}
		if err := unix.Prlimit(n.PID(), unix.RLIMIT_NOFILE, &tight, nil); err != nil {
			w.t.Error(err)
			return history.Fault{}
		}
		pause(ctx, w.between(1500, 3000))
		if err := unix.Prlimit(n.PID(), unix.RLIMIT_NOFILE, &old, nil); err != nil {
			w.t.Error(err)
		}
		return history.Fault{Stops: true}
	}}
}

// restartRedis: SIGKILL, and back empty.
func restartRedis() fault {
	return fault{"kill and restart of Redis, empty", func(ctx context.Context, w *world) history.Fault {
		w.store.restart(func() { pause(ctx, w.between(300, 2000)) })
		return history.Fault{Loses: true, Wipes: true}
	}}
}

// loseMaster: SIGKILL of a master of a Cluster, and its replica takes over, without
// the last writes perhaps; later it is back as a replica.
func loseMaster() fault {
	return fault{"a Cluster master lost", func(ctx context.Context, w *world) history.Fault {
		c, ok := w.store.(*cluster)
		if !ok {
			return history.Fault{}
		}
		c.lose(func() { pause(ctx, w.between(300, 2000)) })
		return history.Fault{Loses: true, Wipes: true}
	}}
}

// stallRedis: SIGSTOP of the server, as a slow disk or a long script.
func stallRedis() fault {
	return fault{"stall of Redis", func(ctx context.Context, w *world) history.Fault {
		pid, err := w.store.pid()
		if err != nil {
			w.t.Error(err)
			return history.Fault{}
		}
		w.signal(pid, syscall.SIGSTOP)
		pause(ctx, w.between(1500, 5000))
		w.signal(pid, syscall.SIGCONT)
		w.store.well()
		switch w.store.(type) {
		case *watched, *cluster: // a replica may have taken over
			return history.Fault{Loses: true, Wipes: true}
		}
		return history.Fault{Loses: true}
	}}
}

// partition: a node and Redis do not hear each other.
func partition() fault {
	return fault{"partition between a node and Redis", func(ctx context.Context, w *world) history.Fault {
		p := w.store.way(w.rng.IntN(len(w.opts)))
		if p == nil {
			return history.Fault{}
		}
		p.Blackhole()
		pause(ctx, w.between(1500, 5000))
		// What was swallowed is gone, so no connection of before may go on.
		p.Cut()
		p.Open()
		p.Cut()
		return history.Fault{Loses: true}
	}}
}

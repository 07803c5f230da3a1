package redisbus

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/bus/bustest"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

const keep = 6 * time.Second

// TestFaults: three nodes, each with a client of its own; a's way to Redis leads
// through a proxy.
func TestFaults(t *testing.T) {
	bustest.RunFaults(t, func(t *testing.T) bustest.Network {
		srv := testenv.Redis(t)
		way := newProxy(t, srv.Addr)
		buses := map[protocol.NodeID]*Bus{}
		n := bustest.Network{Keep: keep, Down: srv.Kill, Up: srv.Restart}
		n.Join = func(node protocol.NodeID) bus.Bus {
			addr := srv.Addr
			if node == "a" {
				addr = way.addr()
			}
			buses[node] = faultyBus(t, addr, node)
			return buses[node]
		}
		n.Faults = map[string]bustest.Fault{
			"Restart":  {Make: func() { srv.Kill(); wait(700); srv.Restart() }},
			"LongDown": {Make: func() { srv.Kill(); wait(4000); srv.Restart() }},
			"Flapping": {Make: func() {
				for range 4 {
					srv.Restart()
					wait(150)
				}
			}},
			"Stall":         {Make: func() { stall(t, srv, 3000) }},
			"Connections":   {Make: func() { kill(t, srv, "normal"); wait(100) }},
			"Subscriptions": {Make: func() { kill(t, srv, "pubsub"); wait(100) }},
			"Silent":        {Make: func() { silence(t, buses["b"]); wait(100) }, Slow: true},
			"Cut":           {Make: func() { way.cut(); wait(1500); way.mend() }},
			"CutAtFirst":    {Make: func() { way.cut(); wait(1500); way.mend() }, First: true},
			"DarkAtFirst":   {Make: func() { way.darken(); wait(1500); way.mend() }, First: true},
			"Dark":          {Make: func() { way.darken(); wait(1500); way.mend() }},
			"DarkThenReset": {Make: func() { way.darken(); wait(1500); way.cut(); way.mend() }},
		}
		return n
	})
}

// TestFaultsCluster: masters die and come back empty, one after another, and one
// stalls.
func TestFaultsCluster(t *testing.T) {
	bustest.RunSurvives(t, func(t *testing.T) bustest.Network {
		cl := testenv.RedisCluster(t)
		return bustest.Network{
			Keep: keep,
			Join: func(node protocol.NodeID) bus.Bus {
				return faultyBusOn(t, redis.NewClusterClient(&redis.ClusterOptions{Addrs: cl.Addrs, ContextTimeoutEnabled: true,
					DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout}), node)
			},
			Faults: map[string]bustest.Fault{
				"Masters": {Slow: true, Make: func() {
					for _, n := range cl.Nodes {
						n.Kill()
						wait(300)
						n.Restart()
						wait(300)
					}
				}},
				"Stall": {Slow: true, Make: func() { stall(t, cl.Nodes[0], 1500) }},
			},
		}
	})
}

// timeout is that of the program's clients.
const timeout = 2 * time.Second

func faultyBus(t *testing.T, addr string, node protocol.NodeID) *Bus {
	t.Helper()
	return faultyBusOn(t, redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true,
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout}), node)
}

func faultyBusOn(t *testing.T, c redis.UniversalClient, node protocol.NodeID) *Bus {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	b, err := New(Config{
		Client: c, Node: node, Probe: time.Second, ProbeWait: 500 * time.Millisecond, Keep: keep, Queue: 20_000,
		Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func wait(ms int) { <-time.After(time.Duration(ms) * time.Millisecond) }

// stall stops the server's process for a while.
func stall(t *testing.T, srv *testenv.RedisServer, ms int) {
	t.Helper()
	info, err := srv.Do("INFO", "server")
	if err != nil {
		t.Error(err)
		return
	}
	_, rest, _ := strings.Cut(info, "process_id:")
	digits, _, _ := strings.Cut(rest, "\r\n")
	pid, err := strconv.Atoi(digits)
	if err != nil || pid <= 1 {
		t.Errorf("process %q", digits)
		return
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Error(err)
	}
	wait(ms)
}

func kill(t *testing.T, srv *testenv.RedisServer, kind string) {
	t.Helper()
	if _, err := srv.Do("CLIENT", "KILL", "TYPE", kind); err != nil {
		t.Error(err)
	}
}

// silence ends what a subscription brings, behind the bus's back.
func silence(t *testing.T, b *Bus) {
	t.Helper()
	b.mu.Lock()
	sub := b.sub
	b.mu.Unlock()
	if err := sub.Unsubscribe(context.Background()); err != nil {
		t.Error(err)
	}
}

// proxy is a way to a server that can be cut, and can go dark: then nothing
// passes, and nobody is told.
type proxy struct {
	listener net.Listener
	to       string
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	down  bool
	light chan struct{} // closed: bytes pass
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: to, conns: map[net.Conn]bool{}, light: make(chan struct{})}
	close(p.light)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.mend()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.to)
		if err != nil || !p.add(in, out) {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			continue
		}
		p.wg.Go(func() { p.pass(in, out) })
		p.wg.Go(func() { p.pass(out, in) })
	}
}

func (p *proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
	return !p.down
}

func (p *proxy) pass(from, to net.Conn) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		light := p.light
		p.mu.Unlock()
		<-light
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// cut ends all connections and refuses new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *proxy) darken() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.light = make(chan struct{})
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
	select {
	case <-p.light:
	default:
		close(p.light)
	}
}

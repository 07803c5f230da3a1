package lab

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy passes TCP connections on and can let them die as networks do.
type Proxy struct {
	l     net.Listener
	black atomic.Bool  // swallow every byte, both ways
	last  atomic.Int64 // when a byte passed, Unix nanoseconds
	wg    sync.WaitGroup

	mu     sync.Mutex
	target string         // of new connections
	conns  []*net.TCPConn // both ends of every connection
}

// NewProxy starts a proxy to target (host:port).
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: target, l: l}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// Dial connects through the proxy, whatever addr says; for client.Options.NetDial.
func (p *Proxy) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, p.Addr())
}

// Addr is where the proxy listens (host:port).
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Target sends new connections to another server.
func (p *Proxy) Target(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Blackhole swallows what either side sends from now on: a half-open connection.
func (p *Proxy) Blackhole() { p.black.Store(true) }

// Open lets new bytes pass again.
func (p *Proxy) Open() { p.black.Store(false) }

// Quiet returns how long no byte has passed.
func (p *Proxy) Quiet() time.Duration { return time.Since(time.Unix(0, p.last.Load())) }

// Cut resets every connection: no close frame, no FIN.
func (p *Proxy) Cut() {
	p.mu.Lock()
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	for _, c := range conns {
		_ = c.SetLinger(0) // closed already: fine
		c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		out, err := net.Dial("tcp", target)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in.(*net.TCPConn), out.(*net.TCPConn))
		p.mu.Unlock()
		p.wg.Go(func() { p.copy(in, out) })
		p.wg.Go(func() { p.copy(out, in) })
	}
}

// copy passes bytes from one end to the other. In a black hole not even the end
// of a connection passes.
func (p *Proxy) copy(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if p.black.Load() {
			if err != nil {
				return
			}
			continue
		}
		if n > 0 {
			p.last.Store(time.Now().UnixNano())
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if err == io.EOF {
				_ = to.(*net.TCPConn).CloseWrite() // gone already: fine
			}
			return
		}
	}
}

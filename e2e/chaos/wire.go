package chaos

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// wire is a user's way to the service: it has an address of its own, so that the
// limits per address do not meet the harness, and it breaks as networks do.
type wire struct {
	from func(ctx context.Context, network, addr string) (net.Conn, error) // its address
	pick func() string

	mu    sync.Mutex
	dark  bool // nothing gets through, nobody is told
	conns []*conn
}

var errDark = errors.New("chaos: no network")

// dial is client.Options.NetDial: the node is the wire's choice.
func (w *wire) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	w.mu.Lock()
	dark := w.dark
	w.mu.Unlock()
	if dark {
		return nil, errDark
	}
	c, err := w.from(ctx, network, w.pick())
	if err != nil {
		return nil, err
	}
	wrapped := &conn{TCPConn: c.(*net.TCPConn)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dark {
		c.Close()
		return nil, errDark
	}
	w.conns = append(w.conns, wrapped)
	return wrapped, nil
}

// cut resets the connections: no close frame, no FIN.
func (w *wire) cut() {
	for _, c := range w.take(false) {
		_ = c.SetLinger(0) // closed already: fine
		c.TCPConn.Close()
	}
}

// darken makes the connections half-open for ever and lets no new ones through
// until lighten.
func (w *wire) darken() {
	for _, c := range w.take(true) {
		c.black.Store(true)
		w.mu.Lock()
		w.conns = append(w.conns, c) // closed at the end of the run
		w.mu.Unlock()
	}
}

func (w *wire) lighten() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dark = false
}

func (w *wire) take(dark bool) []*conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	conns := w.conns
	w.conns, w.dark = nil, dark
	return conns
}

// conn is a connection that can be half-open: what comes is swallowed, what is
// sent goes nowhere, and the other side does not learn of the end.
type conn struct {
	*net.TCPConn
	black atomic.Bool
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		n, err := c.TCPConn.Read(b)
		if err != nil || !c.black.Load() {
			return n, err
		}
	}
}

func (c *conn) Write(b []byte) (int, error) {
	if c.black.Load() {
		return len(b), nil
	}
	return c.TCPConn.Write(b)
}

// Close of a half-open connection only wakes its reader.
func (c *conn) Close() error {
	if c.black.Load() {
		return c.SetReadDeadline(time.Unix(1, 0))
	}
	return c.TCPConn.Close()
}

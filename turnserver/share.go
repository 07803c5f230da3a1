package turnserver

import (
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/internal/ratelimit"
)

// alpnTURN is TURN's name among the application protocols of TLS (RFC 7443).
const alpnTURN = "stun.turn"

// Share has TURN over TLS use a web server's port. It takes the connections of
// ln, does the handshake with cfg, serves TURN's, and gives all others to whoever
// accepts from the listener that it returns. Clients are told of the port, after
// all others. Call it after Start; closing the listener closes ln.
//
// Whose a connection is, says the protocol that was agreed on in the handshake
// or, without one, what the client sends first: web servers and TURN servers both
// wait for that. Where the handshake failed the web server gets the connection, to
// say so as it does.
func (s *Server) Share(ln net.Listener, cfg *tls.Config) net.Listener {
	cfg = cfg.Clone()
	// First, because there are TURN clients that offer to speak HTTP too.
	cfg.NextProtos = append([]string{alpnTURN}, cfg.NextProtos...)
	l := &sharedListener{
		Listener: ln, s: s, cfg: cfg, peeks: newQuota(s.cfg.Limits.ConnsPerAddr),
		web: make(chan accepted), done: make(chan struct{}), opening: map[net.Conn]struct{}{},
	}
	s.mu.Lock()
	s.addrs = append(s.addrs, Addr{transportHTTPS, localAddr(ln.Addr())})
	s.setPolicy(s.policyConfig()) // knows the port now
	s.mu.Unlock()
	l.running.Go(l.serve)
	return l
}

// transportHTTPS is an Addr's transport that is TLS on a web server's port.
const transportHTTPS = "https"

// sharedListener has two kinds of connections: Accept returns those for the web.
type sharedListener struct {
	net.Listener // what both share

	// static after construction
	s       *Server
	cfg     *tls.Config
	peeks   *quota // connections that have said nothing yet, by address
	web     chan accepted
	done    chan struct{} // closed by Close
	running sync.WaitGroup

	mu      sync.Mutex
	opening map[net.Conn]struct{} // of whom it is not known what they want
	closed  bool
}

// accepted is what Accept returns.
type accepted struct {
	conn net.Conn
	err  error
}

// Accept implements net.Listener.
func (l *sharedListener) Accept() (net.Conn, error) {
	select {
	case a := <-l.web:
		return a.conn, a.err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// serve accepts until the listener is closed. An error is the web server's to say
// and to wait after: the next one is tried when it asks again.
func (l *sharedListener) serve() {
	for {
		nc, err := l.Listener.Accept()
		if err != nil && !l.give(accepted{err: err}) {
			return
		}
		if err != nil {
			continue
		}
		if !l.add(nc) {
			nc.Close()
			return
		}
		go l.open(nc)
	}
}

// open finds out whose a connection is.
func (l *sharedListener) open(nc net.Conn) {
	c := tls.Server(nc, l.cfg)
	nc.SetDeadline(time.Now().Add(l.s.cfg.Limits.Handshake))
	err := c.Handshake()
	nc.SetDeadline(time.Time{})
	since := time.Now()
	if proto := c.ConnectionState().NegotiatedProtocol; err != nil || proto != "" && proto != alpnTURN {
		l.toWeb(nc, c) // who failed is told, and logged, by the web server's own handshake
		return
	} else if proto == alpnTURN {
		l.toTURN(nc, c, since)
		return
	}
	// Who says nothing holds little. Still no address may have many of these; what
	// is over the limit is the web server's, and within its limits.
	from, ok := addrPort(nc.RemoteAddr())
	if key := ratelimit.AddrKey(from.Addr()); ok && l.peeks.take(key) {
		l.ask(nc, c, since, func() { l.peeks.release(key) })
		return
	}
	l.toWeb(nc, c)
}

// ask waits for the first bytes of a client that agreed on no protocol, and says
// when it waits no longer.
func (l *sharedListener) ask(nc net.Conn, c *tls.Conn, since time.Time, answered func()) {
	p := &peekedConn{Conn: c}
	nc.SetReadDeadline(since.Add(l.s.cfg.Limits.FirstMessage))
	turn, err := p.peek()
	nc.SetReadDeadline(time.Time{})
	answered()
	switch {
	case err != nil:
		l.remove(nc)
		nc.Close()
	case turn:
		l.toTURN(nc, p, since)
	default:
		l.toWeb(nc, p)
	}
}

// toTURN serves c until it ends.
func (l *sharedListener) toTURN(nc, c net.Conn, since time.Time) {
	if l.remove(nc) {
		nc.Close()
		return
	}
	l.s.serveConn(c, since)
}

func (l *sharedListener) toWeb(nc, c net.Conn) {
	if !l.give(accepted{conn: c}) {
		nc.Close()
	}
	l.remove(nc)
}

// give hands a to who accepts; it returns false once the listener is closed.
func (l *sharedListener) give(a accepted) bool {
	select {
	case l.web <- a:
		return true
	case <-l.done:
		return false
	}
}

func (l *sharedListener) add(nc net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.opening[nc] = struct{}{}
	l.running.Add(1)
	return true
}

// remove reports whether the listener was closed meanwhile.
func (l *sharedListener) remove(nc net.Conn) (closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.opening, nc)
	l.running.Done()
	return l.closed
}

// Close closes the listener and those connections that are neither's yet.
func (l *sharedListener) Close() error {
	err := l.Listener.Close()
	l.mu.Lock()
	was := l.closed
	l.closed = true
	opening := make([]net.Conn, 0, len(l.opening))
	for nc := range l.opening {
		opening = append(opening, nc)
	}
	l.mu.Unlock()
	if was {
		return err
	}
	close(l.done)
	for _, nc := range opening {
		nc.Close()
	}
	l.running.Wait()
	return err
}

// peekedConn is a TLS connection whose first bytes have been looked at. They are
// read again.
type peekedConn struct {
	*tls.Conn

	// owned by the reader
	start  [headPeek]byte
	unread []byte // of start
}

// headPeek is how much tells TURN from HTTP: the start of a STUN message with the
// cookie. No request of HTTP is shorter.
const headPeek = 8

// peek reports whether TURN begins here.
func (p *peekedConn) peek() (turn bool, err error) {
	for n := 0; ; {
		m, err := p.Conn.Read(p.start[n:])
		n += m
		p.unread = p.start[:n]
		if size, ok := frameSize(p.unread); !ok || size > 0 {
			return ok, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// Read implements net.Conn.
func (p *peekedConn) Read(b []byte) (int, error) {
	if len(p.unread) == 0 {
		return p.Conn.Read(b)
	}
	n := copy(b, p.unread)
	p.unread = p.unread[n:]
	return n, nil
}

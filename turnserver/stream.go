package turnserver

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/internal/ratelimit"
)

// streamListener accepts TCP connections, with TLS on them when tls is set.
type streamListener struct {
	s   *Server
	ln  net.Listener
	tls *tls.Config
}

// serve accepts until the listener is closed.
func (l *streamListener) serve() {
	pause := time.Duration(0)
	for {
		nc, err := l.ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // such as too many open files: do not spin
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-l.s.done:
				return
			}
			continue
		}
		pause = 0
		l.s.accept(nc, l.tls)
	}
}

// accept serves a connection in a goroutine of its own, if there is room for it.
func (s *Server) accept(nc net.Conn, cfg *tls.Config) {
	kind := overTCP
	if cfg != nil {
		kind = overTLS
	}
	c := s.admit(nc, kind)
	if c == nil {
		nc.Close()
		return
	}
	go func() {
		defer s.conns.remove(c)
		if cfg != nil && !c.handshake(cfg) {
			nc.Close()
			return
		}
		c.run(time.Now())
	}()
}

// serveConn serves TURN on a TLS connection of a shared port until it ends. It owns
// nc from now on; its client's first message counts from since.
func (s *Server) serveConn(nc net.Conn, since time.Time) {
	c := s.admit(nc, overTLS)
	if c == nil {
		abort(nc)
		return
	}
	defer s.conns.remove(c)
	c.run(since)
}

func (s *Server) admit(nc net.Conn, kind transport) *streamConn {
	remote, ok := addrPort(nc.RemoteAddr())
	if !ok {
		return nil
	}
	now := time.Now()
	c := &streamConn{
		s: s, nc: nc, kind: kind, remote: remote, started: now,
		wake: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	if !s.conns.add(c) {
		s.metrics.connRefused()
		return nil
	}
	return c
}

func addrPort(a net.Addr) (netip.AddrPort, bool) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()), ap.IsValid()
}

// streamConn is a client on TCP or TLS: the goroutine that reads (run) and the
// one that writes.
type streamConn struct {
	// static after construction
	s       *Server
	kind    transport
	remote  netip.AddrPort
	started time.Time
	wake    chan struct{} // something is queued
	stop    chan struct{} // the reader has ended

	// owned by the reader; nc is also written by the writer
	nc net.Conn

	mu     sync.Mutex
	alloc  *allocation
	heard  bool      // a whole message came in
	idle   time.Time // since when there is no allocation
	closed bool
	queue  []byte // frames that wait for the writer
}

// handshake does the server's side of TLS, within its deadline.
func (c *streamConn) handshake(cfg *tls.Config) bool {
	ctx, cancel := context.WithTimeout(context.Background(), c.s.cfg.Limits.Handshake)
	defer cancel()
	t := tls.Server(c.nc, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		c.s.metrics.handshakeFailed()
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc = t
	return !c.closed
}

// run reads frames until the connection ends, then ends its allocation and waits
// for the writer. The client's time for its first message runs since then.
func (c *streamConn) run(since time.Time) {
	c.begin(since)
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write()
	}()
	c.read()
	close(c.stop)
	c.close()
	if a := c.allocation(); a != nil {
		a.end(endConn)
	}
	<-written
}

func (c *streamConn) begin(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = since
	c.setDeadlineLocked()
}

// setDeadlineLocked says until when the client must have done its next step:
// a whole message, an allocation. With an allocation there is no hurry, because
// the allocation expires by itself.
func (c *streamConn) setDeadlineLocked() {
	var t time.Time
	switch {
	case c.alloc != nil:
	case !c.heard:
		t = c.idle.Add(min(c.s.cfg.Limits.FirstMessage, c.s.cfg.Limits.AllocateWithin))
	default:
		t = c.idle.Add(c.s.cfg.Limits.AllocateWithin)
	}
	c.nc.SetReadDeadline(t)
}

// read takes frames off the stream. The buffer has headroom before its first byte.
func (c *streamConn) read() {
	buf := make([]byte, headroom+2*maxFrame)
	start, end := headroom, headroom
	var m message
	heard := false
	for {
		n, err := c.nc.Read(buf[end:])
		end += n
		for {
			size, ok := frameSize(buf[start:end])
			if !ok {
				c.s.metrics.drop(dropGarbage)
				return
			}
			if size == 0 || size > end-start {
				break
			}
			if p := (packet{buf, start, start + size}); isChannelData(p.payload()) {
				c.s.receiveChannel(c.allocation(), p)
			} else {
				c.s.receive(c, p, &m)
			}
			if start += size; !heard {
				heard = true
				c.heardOne()
			}
		}
		if err != nil {
			return
		}
		end = headroom + copy(buf[headroom:], buf[start:end])
		start = headroom
	}
}

func (c *streamConn) heardOne() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = true
	c.setDeadlineLocked()
}

// frameSize returns the size of the message at the start of what a client sends,
// or 0 when more bytes are needed to know it. What cannot be a message, or is too
// large, is not ok.
func frameSize(b []byte) (size int, ok bool) {
	size, ok = messageSize(b)
	return size, ok && size <= maxFrame
}

// messageSize is the size of the message at the start of a stream, with padding
// (RFC 8656 section 12.5, RFC 8489 section 6.2.2).
func messageSize(b []byte) (size int, ok bool) {
	if len(b) == 0 {
		return 0, true
	}
	switch b[0] >> 6 {
	case 0:
		if len(b) < 8 {
			return 0, true
		}
		size = headerBytes + int(binary.BigEndian.Uint16(b[2:]))
		return size, size%4 == 0 && binary.BigEndian.Uint32(b[4:]) == cookie
	case 1:
		if len(b) < channelHeader {
			return 0, true
		}
		return channelHeader + (int(binary.BigEndian.Uint16(b[2:]))+3)&^3, true
	}
	return 0, false
}

// writeChunk is how much is written under one deadline: a slow but living client
// takes it in time.
const writeChunk = 16 << 10

// write writes what is queued until the reader ends.
func (c *streamConn) write() {
	var out []byte
	for {
		select {
		case <-c.stop:
			return
		case <-c.wake:
		}
		c.mu.Lock()
		out, c.queue = c.queue, out[:0]
		c.mu.Unlock()
		for rest := out; len(rest) > 0; {
			n := c.chunk(rest)
			c.nc.SetWriteDeadline(time.Now().Add(c.s.cfg.Limits.WriteTimeout))
			if _, err := c.nc.Write(rest[:n]); err != nil {
				c.close()
				return
			}
			rest = rest[n:]
		}
	}
}

// chunk is how much of what is queued to write at once: over TLS one message to a
// record, because there are clients that take a record for a message.
func (c *streamConn) chunk(queued []byte) int {
	if c.kind == overTLS {
		if n, ok := messageSize(queued); ok && n > 0 && n <= len(queued) {
			return n
		}
	}
	return min(len(queued), writeChunk)
}

// close closes the socket, so the reader ends.
func (c *streamConn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		abort(c.nc)
	}
}

// abort closes a connection without waiting: closing TLS would first write an
// alert to a client that may take nothing.
func abort(nc net.Conn) {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = t.NetConn()
	}
	nc.Close()
}

// send queues a frame, or drops it when too much is waiting.
func (c *streamConn) send(b []byte) {
	c.mu.Lock()
	if c.closed || len(c.queue)+len(b) > c.s.cfg.Limits.WriteQueueBytes {
		c.mu.Unlock()
		c.s.metrics.drop(dropQueue)
		return
	}
	c.queue = append(c.queue, b...)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *streamConn) addr() netip.AddrPort { return c.remote }
func (c *streamConn) transport() transport { return c.kind }
func (c *streamConn) padded() bool         { return true }

func (c *streamConn) allocation() *allocation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.alloc
}

func (c *streamConn) attach(a *allocation) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.alloc = a
	c.setDeadlineLocked()
	return true
}

func (c *streamConn) detach(a *allocation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.alloc == a {
		c.alloc, c.idle = nil, time.Now()
		c.setDeadlineLocked()
	}
}

// conns are the open connections, counted by client address.
type conns struct {
	limit   int
	perAddr *quota

	mu     sync.Mutex
	all    map[*streamConn]struct{}
	closed bool
	wg     sync.WaitGroup
}

func newConns(limit, perAddr int) *conns {
	return &conns{limit: limit, perAddr: newQuota(perAddr), all: map[*streamConn]struct{}{}}
}

func (l *conns) add(c *streamConn) bool {
	key := ratelimit.AddrKey(c.remote.Addr())
	if !l.perAddr.take(key) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.limit >= 0 && len(l.all) >= l.limit {
		l.perAddr.release(key)
		return false
	}
	l.all[c] = struct{}{}
	l.wg.Add(1)
	return true
}

func (l *conns) remove(c *streamConn) {
	l.mu.Lock()
	delete(l.all, c)
	l.mu.Unlock()
	l.perAddr.release(ratelimit.AddrKey(c.remote.Addr()))
	l.wg.Done()
}

func (l *conns) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all)
}

// closeAll closes every connection and waits for their goroutines.
func (l *conns) closeAll() {
	l.mu.Lock()
	l.closed = true
	all := make([]*streamConn, 0, len(l.all))
	for c := range l.all {
		all = append(all, c)
	}
	l.mu.Unlock()
	for _, c := range all {
		c.close()
	}
	l.wg.Wait()
}

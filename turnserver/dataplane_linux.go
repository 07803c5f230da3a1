package turnserver

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// inboxBuffers is how many datagrams a worker holds at a time, readAtOnce how
	// many of them one system call reads.
	inboxBuffers = 128
	readAtOnce   = 64
	maxEvents    = 64
	// readsInTurn is how often one socket is read before it is another's turn.
	readsInTurn = 8

	// yieldAfter is how long a worker keeps its turn. Go's monitor takes the
	// processor away from who has had the same turn for 10 ms and is within a system
	// call, as a worker nearly always is, and looks after it every 20 µs from then
	// on; that takes more work than the packets' decisions.
	yieldAfter = 8 * time.Millisecond
)

// worker relays for the clients of one listening socket: it waits for that socket
// and for the relay sockets of these clients in one place, reads many datagrams
// at a time, and sends what becomes of them together. One goroutine does all of
// it, so no packet is handed from one to another, and nothing is allocated.
type worker struct {
	*rawSocket
	l    *udpListener
	poll descriptor // epoll
	wake descriptor // eventfd, for close

	closing atomic.Bool

	mu     sync.Mutex
	relays map[int32]*allocation // by descriptor

	// owned by the goroutine
	in     inbox
	out    gather
	counts tally
	at     time.Time // when the packets at hand came
	events [maxEvents]unix.EpollEvent
	m      message
}

func newWorker(l *udpListener, conn *net.UDPConn, everywhere bool) (udpReader, error) {
	sock, err := detach(conn, l.s.cfg.GSO == GSOAuto)
	if err != nil {
		return nil, err
	}
	w := &worker{rawSocket: sock, l: l, relays: map[int32]*allocation{}}
	w.out.counts = &w.counts
	w.in.prepare(everywhere)
	if err := w.open(); err != nil {
		w.rawSocket.close()
		w.free()
		return nil, err
	}
	return w, nil
}

func (w *worker) open() (err error) {
	if w.poll.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		w.wake.fd = -1
		return err
	}
	if w.wake.fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	return errors.Join(w.await(&w.wake), w.await(&w.descriptor))
}

// await has the worker wait for a descriptor too. It is told of what comes once
// (EPOLLET), not again until it was read: whoever is told reads all.
func (w *worker) await(d *descriptor) error { return w.epoll(unix.EPOLL_CTL_ADD, d) }

// again has the worker be told once more of what a socket has.
func (w *worker) again(d *descriptor) {
	if d.acquire() {
		defer d.release()
		w.epoll(unix.EPOLL_CTL_MOD, d) // an error: it has ended
	}
}

func (w *worker) epoll(op int, d *descriptor) error {
	if !w.poll.acquire() {
		return net.ErrClosed
	}
	defer w.poll.release()
	return unix.EpollCtl(w.poll.fd, op, d.fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(d.fd)})
}

// close has serve return. What it waits with is closed by free.
func (w *worker) close() {
	w.closing.Store(true)
	w.rawSocket.close()
	if w.wake.acquire() {
		defer w.wake.release()
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		unix.Write(w.wake.fd, one[:])
	}
}

func (w *worker) free() {
	w.poll.close()
	w.wake.close()
}

// serve relays until close.
func (w *worker) serve() {
	yielded := time.Time{}
	for !w.closing.Load() {
		w.round()
		if w.at.Sub(yielded) > yieldAfter {
			runtime.Gosched()
			yielded = w.at
		}
	}
}

// round waits for datagrams, takes what is there, and sends what becomes of it.
func (w *worker) round() {
	n, err := unix.EpollWait(w.poll.fd, w.events[:], -1)
	w.counts.waits++
	if err != nil { // EINTR: nothing else can be
		return
	}
	w.at = w.l.s.cfg.now()
	for i := range w.events[:n] {
		switch fd := w.events[i].Fd; int(fd) {
		case w.wake.fd:
		case w.fd:
			w.fromClients()
		default:
			w.fromPeers(fd)
		}
	}
	w.flush()
	w.in.reset()
}

// fromClients takes datagrams from the listening socket.
func (w *worker) fromClients() {
	for range readsInTurn {
		first, n, errno := w.read(w.rawSocket)
		if errno != 0 {
			if errno == unix.EAGAIN || errno == unix.EBADF {
				return
			}
			w.drop(dropGarbage)
			continue
		}
		for i := first; i < first+n; i++ {
			from, local := w.in.origin(i)
			w.l.received(w, w, w.in.packet(i), udpPath{from: from, local: local}, &w.m)
		}
		if n < readAtOnce {
			return
		}
	}
	w.again(&w.descriptor)
}

// fromPeers takes datagrams from a relay socket.
func (w *worker) fromPeers(fd int32) {
	w.mu.Lock()
	a := w.relays[fd]
	w.mu.Unlock()
	if a == nil { // it ended a moment ago
		return
	}
	relay := a.sock.(*relayPort)
	for range readsInTurn {
		first, n, errno := w.read(relay.rawSocket)
		if errno == unix.EAGAIN || errno == unix.EBADF {
			return
		}
		if errno != 0 { // such as a port-unreachable message of some peer
			if relay.failures++; relay.failures >= maxReadFailures {
				a.end(endFailed)
				return
			}
			continue
		}
		relay.failures = 0
		for i := first; i < first+n; i++ {
			from := decode(&w.in.names[i])
			a.received(w, w.in.packet(i), netip.AddrPortFrom(from.Addr().WithZone(""), from.Port()))
		}
		if n < readAtOnce {
			return
		}
	}
	w.again(&relay.descriptor)
}

// read reads up to readAtOnce datagrams, into buffers that are free or become so.
func (w *worker) read(sock *rawSocket) (first, n int, errno unix.Errno) {
	if w.in.left() < readAtOnce {
		w.flush()
		w.in.reset()
	}
	w.counts.receives++
	return w.in.receive(sock)
}

func (w *worker) now() time.Time             { return w.at }
func (w *worker) drop(r dropReason)          { w.counts.drop(r, 1) }
func (w *worker) relayed(d direction, n int) { w.counts.relay(d, 1, n) }

func (w *worker) toPeer(a *allocation, b []byte, peer netip.AddrPort) {
	relay, ok := a.sock.(*relayPort)
	if !ok {
		w.drop(dropSocket)
		return
	}
	w.room()
	w.out.add(relay.rawSocket, peer, nil, b, true)
}

// toClient sends from the own socket to every client of this listener, whichever
// of its sockets the client sends to: they have one address.
func (w *worker) toClient(a *allocation, b []byte) {
	c, ok := a.client.(*udpClient)
	if !ok {
		a.client.send(b)
		return
	}
	sock := w.rawSocket
	if c.l != w.l {
		if other, ok := c.r.(*worker); ok {
			sock = other.rawSocket
		}
	}
	w.room()
	w.out.add(sock, c.path.from, c.source, b, false)
}

func (w *worker) room() {
	if w.out.full() {
		w.out.flush()
	}
}

// flush sends what was gathered and tells the metrics.
func (w *worker) flush() {
	if w.out.n > 0 {
		w.out.flush()
	}
	w.counts.tell(w.l.s.metrics)
}

// relay makes conn a relay socket that this worker reads.
func (w *worker) relay(conn *net.UDPConn) (relaySocket, error) {
	sock, err := detach(conn, w.l.s.cfg.GSO == GSOAuto)
	if err != nil {
		return nil, err
	}
	return &relayPort{rawSocket: sock, w: w}, nil
}

// relayPort is the socket of an allocation.
type relayPort struct {
	*rawSocket
	w        *worker
	failures int // owned by the worker: how often in a row reading failed
}

// receive has the worker read the socket, and waits for the end of the allocation.
func (r *relayPort) receive(a *allocation) error {
	if err := r.w.watch(r.rawSocket, a); err != nil {
		return err
	}
	<-a.done
	r.w.forget(r.rawSocket, a)
	return net.ErrClosed
}

func (w *worker) watch(sock *rawSocket, a *allocation) error {
	if !sock.acquire() {
		return net.ErrClosed
	}
	defer sock.release()
	w.mu.Lock()
	w.relays[int32(sock.fd)] = a
	w.mu.Unlock()
	return w.await(&sock.descriptor)
}

// forget drops the allocation unless its descriptor's number has another by now.
func (w *worker) forget(sock *rawSocket, a *allocation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.relays[int32(sock.fd)] == a {
		delete(w.relays, int32(sock.fd))
	}
}

// inbox holds datagrams as they came, until all that became of them is sent.
type inbox struct {
	n        int // buffers in use
	messages [inboxBuffers]multiMessage
	vectors  [inboxBuffers]unix.Iovec
	names    [inboxBuffers]unix.RawSockaddrInet6
	buffers  []byte
	controls []byte // of oobBytes each; none where nobody asks for destinations
}

func (in *inbox) prepare(everywhere bool) {
	in.buffers = make([]byte, inboxBuffers*bufferBytes)
	if everywhere {
		in.controls = make([]byte, inboxBuffers*oobBytes)
	}
	for i := range in.messages {
		m := &in.messages[i]
		in.vectors[i].Base = &in.buffers[i*bufferBytes+headroom]
		in.vectors[i].SetLen(maxFrame + 1)
		m.Name = (*byte)(unsafe.Pointer(&in.names[i]))
		m.Iov = &in.vectors[i]
		m.SetIovlen(1)
		if everywhere {
			m.Control = &in.controls[i*oobBytes]
		}
	}
	in.n = inboxBuffers
	in.reset()
}

func (in *inbox) left() int { return inboxBuffers - in.n }

// reset makes the buffers free that are in use.
func (in *inbox) reset() {
	for i := range in.n {
		m := &in.messages[i]
		m.Namelen = unix.SizeofSockaddrInet6
		if in.controls != nil {
			m.SetControllen(oobBytes)
		}
	}
	in.n = 0
}

// receive reads what a socket has, and says which buffers it is in.
func (in *inbox) receive(sock *rawSocket) (first, n int, errno unix.Errno) {
	first = in.n
	n, errno = sock.receiveMany(in.messages[first : first+readAtOnce])
	in.n += n
	return first, n, errno
}

func (in *inbox) packet(i int) packet {
	buf := in.buffers[i*bufferBytes : (i+1)*bufferBytes : (i+1)*bufferBytes]
	return packet{buf, headroom, headroom + int(in.messages[i].n)}
}

// origin is who sent a datagram, and to which address where that is asked.
func (in *inbox) origin(i int) (from netip.AddrPort, local netip.Addr) {
	if in.controls != nil {
		at := i * oobBytes
		local = destination(in.controls[at : at+int(in.messages[i].Controllen)])
	}
	return decode(&in.names[i]), local
}

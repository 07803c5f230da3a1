package turnserver

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// gatherPackets is how many packets one flush sends: of each that came in no more
	// than one goes out.
	gatherPackets = inboxBuffers
	// maxSegments and maxSegmented bound what is sent as one: the kernel takes 64
	// segments, and less than 64 KiB with all headers.
	maxSegments  = 64
	maxSegmented = 64000
	// maxSegment is the largest packet that is sent as a segment. Segments cannot
	// be fragmented, so one that does not fit the way's MTU fails; nobody must be
	// able to fail them for others.
	maxSegment = 1400
)

// gather holds packets until they are sent, all that go the same way together:
// those of one size to one address as one message that the kernel or the network
// card cuts up (UDP segmentation), all messages of one socket in one system call.
// It keeps the order of each way.
type gather struct {
	counts *tally

	packets  [gatherPackets]unix.Iovec
	next     [gatherPackets]int16 // within the run
	n        int
	runs     [gatherPackets]run
	nr       int
	messages [gatherPackets]multiMessage
	vectors  [gatherPackets]unix.Iovec
	names    [gatherPackets]unix.RawSockaddrInet6
	controls [gatherPackets][controlBytes]byte
	sending  [gatherPackets]int16 // runs of the messages
}

// controlBytes is room for a source address and a segment size.
const controlBytes = 64

// run is packets to one address through one socket.
type run struct {
	sock        *rawSocket
	to          netip.AddrPort
	source      []byte
	first, last int16
	n           int16
	closed      bool // nothing can follow what is in it
	up          bool
	sent        bool
	size        int // of the first packet, which no other may exceed
	bytes       int
}

func (g *gather) full() bool { return g.n == gatherPackets }

// add takes one packet. There must be room.
func (g *gather) add(sock *rawSocket, to netip.AddrPort, source, b []byte, up bool) {
	at := int16(g.n)
	g.n++
	g.packets[at].Base = unsafe.SliceData(b)
	g.packets[at].SetLen(len(b))
	if r := g.find(sock, to, source); r != nil && r.takes(len(b)) {
		g.next[r.last] = at
		r.last = at
		r.n++
		r.bytes += len(b)
		r.closed = len(b) < r.size
		return
	}
	g.runs[g.nr] = run{
		sock: sock, to: to, source: source, first: at, last: at, n: 1, up: up, size: len(b), bytes: len(b),
		closed: len(b) == 0 || len(b) > maxSegment || sock.plain.Load(),
	}
	g.nr++
}

// find returns the last run that goes the same way.
func (g *gather) find(sock *rawSocket, to netip.AddrPort, source []byte) *run {
	for i := g.nr - 1; i >= 0; i-- {
		r := &g.runs[i]
		if r.sock == sock && r.to.Port() == to.Port() && r.to == to && unsafe.SliceData(r.source) == unsafe.SliceData(source) {
			return r
		}
	}
	return nil
}

// takes reports whether a packet can follow: the last one may be shorter.
func (r *run) takes(n int) bool {
	return !r.closed && n > 0 && n <= r.size && r.n < maxSegments && r.bytes+n <= maxSegmented
}

// flush sends all packets.
func (g *gather) flush() {
	for i := range g.nr {
		if g.runs[i].sent {
			continue
		}
		sock := g.runs[i].sock
		count, vectors := 0, 0
		for j := i; j < g.nr; j++ {
			if r := &g.runs[j]; r.sock == sock && !r.sent {
				r.sent = true
				g.sending[count] = int16(j)
				vectors += g.compose(&g.messages[count], count, r, vectors)
				count++
			}
		}
		g.send(sock, count)
	}
	clear(g.runs[:g.nr]) // holds on to no allocation that ended
	g.n, g.nr = 0, 0
}

// compose writes the message of a run, whose packets go to the vectors from at on,
// and returns how many there are.
func (g *gather) compose(m *multiMessage, slot int, r *run, at int) int {
	vectors := g.vectors[at : at+int(r.n)]
	for k, p := 0, r.first; k < len(vectors); k, p = k+1, g.next[p] {
		vectors[k] = g.packets[p]
	}
	g.address(m, slot, r)
	m.Iov = &vectors[0]
	m.SetIovlen(len(vectors))
	if r.n > 1 {
		control := g.controls[slot][:]
		n := copy(control, r.source)
		n += segmentSize(control[n:], r.size)
		m.Control = &control[0]
		m.SetControllen(n)
	}
	return len(vectors)
}

func (g *gather) address(m *multiMessage, slot int, r *run) {
	m.Name = (*byte)(unsafe.Pointer(&g.names[slot]))
	m.Namelen = r.sock.encode(&g.names[slot], r.to)
	m.Control = unsafe.SliceData(r.source)
	m.SetControllen(len(r.source))
}

// segmentSize writes the control message that asks for segmentation.
func segmentSize(control []byte, size int) int {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Pointer(&control[unix.CmsgLen(0)])) = uint16(size)
	return unix.CmsgSpace(2)
}

// send sends composed messages, and again those behind one that fails.
func (g *gather) send(sock *rawSocket, count int) {
	for done := 0; done < count; {
		n, errno := g.pass(sock, done, count)
		g.counts.sends++
		for _, j := range g.sending[done : done+n] {
			r := &g.runs[j]
			g.passed(r, int(r.n), r.bytes)
			if r.n > 1 {
				g.counts.segmented += int(r.n)
				sock.worked()
			}
		}
		done += n
		if errno == 0 || errno == unix.EINTR {
			continue
		}
		r := &g.runs[g.sending[done]]
		if r.n > 1 && refusesSegments(errno) {
			if sock.refused(errno) {
				g.counts.unsegmented++
			}
			g.sendSingly(r)
		} else {
			g.counts.drop(dropSocket, int(r.n))
		}
		done++
	}
}

// pass has the system take messages. A single packet goes by the call that has the
// least to read.
func (g *gather) pass(sock *rawSocket, done, count int) (int, unix.Errno) {
	m := &g.messages[done]
	if count-done > 1 || m.Control != nil || m.Iovlen > 1 {
		return sock.sendMany(g.messages[done:count])
	}
	if errno := sock.sendOne(m); errno != 0 {
		return 0, errno
	}
	return 1, 0
}

// refusesSegments are the errors that a message would not have met in parts: EIO
// where the network card computes no checksums, EINVAL where it is too large for
// the way (or on odd sockets), EMSGSIZE where it is too large in all.
func refusesSegments(errno unix.Errno) bool {
	return errno == unix.EIO || errno == unix.EINVAL || errno == unix.EMSGSIZE
}

// sendSingly sends the packets of a run one by one.
func (g *gather) sendSingly(r *run) {
	for k, p := 0, r.first; k < int(r.n); k, p = k+1, g.next[p] {
		b := unsafe.Slice(g.packets[p].Base, int(g.packets[p].Len))
		g.counts.sends++
		if r.sock.sendFrom(b, r.source, r.to) != nil {
			g.counts.drop(dropSocket, 1)
			continue
		}
		g.passed(r, 1, len(b))
	}
}

func (g *gather) passed(r *run, packets, bytes int) {
	if r.up {
		g.counts.relay(dirUp, packets, bytes)
	}
}

// worked and refused decide about segmentation on a socket: EIO is about the
// machine and ends it; other errors may be about one destination, so they end it
// only where it never worked. refused is true when it ended now.
func (r *rawSocket) worked() {
	if !r.proven.Load() {
		r.proven.Store(true)
	}
}

func (r *rawSocket) refused(errno unix.Errno) bool {
	if errno != unix.EIO && r.proven.Load() {
		return false
	}
	return !r.plain.Swap(true)
}

package turnserver

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"
)

// held is a worker that works when the test says so: what is sent to it waits in
// its sockets, so how much of it comes at once is known.
type held struct {
	t            testing.TB
	w            *worker
	a, b         *wire
	relayA       netip.AddrPort
	peer         *net.UDPConn
	alloc        *allocation
	waits, reads float64
	sends        float64
}

// newHeld has two clients with a channel to each other (0x4001), and one of them
// with a channel to a peer (0x4000).
func newHeld(t testing.TB, gso GSO) *held {
	t.Helper()
	s := testServer(t, func(c *Config) {
		noLimits(c)
		c.portable, c.Workers, c.GSO = false, 1, gso
		c.Policy.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.Limits.Bandwidth = -1
	})
	l, err := s.listenUDP(target{"4", netip.MustParseAddrPort("127.0.0.1:0"), false})
	if err != nil {
		t.Fatal(err)
	}
	h := &held{t: t, w: l.readers[0].(*worker)}
	t.Cleanup(func() { l.close(); l.free() })
	s.mu.Lock()
	s.addrs[0].Addr = l.addr() // where clients on UDP go
	s.mu.Unlock()
	served := make(chan struct{})
	go func() {
		defer close(served)
		h.w.serve()
	}()
	var relayB netip.AddrPort
	h.a, h.b, h.relayA, relayB = pair(newWire(t, s, overUDP, "x"))
	h.peer, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.peer.Close() })
	h.a.must(methodChannelBind, peerOpt(h.peer.LocalAddr().String()), channelOpt(0x4000))
	h.a.must(methodChannelBind, peerOpt(relayB.String()), channelOpt(0x4001))
	h.b.must(methodChannelBind, peerOpt(h.relayA.String()), channelOpt(0x4001))
	h.alloc = h.a.mine()
	h.stop(served)
	return h
}

func (h *held) stop(served <-chan struct{}) {
	one := binary.NativeEndian.AppendUint64(nil, 1)
	h.w.closing.Store(true)
	unix.Write(h.w.wake.fd, one)
	<-served
	unix.Read(h.w.wake.fd, one)
	h.w.closing.Store(false)
	h.count()
}

// count returns what the system was asked since it was last called.
func (h *held) count() (calls string) {
	m := h.w.l.s.metrics
	waits, reads, sends := testutil.ToFloat64(m.syscalls[callWait]), testutil.ToFloat64(m.syscalls[callReceive]), testutil.ToFloat64(m.syscalls[callSend])
	calls = fmt.Sprintf("%v waits, %v receives, %v sends", waits-h.waits, reads-h.reads, sends-h.sends)
	h.waits, h.reads, h.sends = waits, reads, sends
	return calls
}

// up, across and down send a burst on one of the three ways.
func (h *held) up(n, size int) {
	for range n {
		h.a.sendChannel(0x4000, make([]byte, size))
	}
}

func (h *held) across(n, size int) {
	for range n {
		h.a.sendChannel(0x4001, make([]byte, size))
	}
}

func (h *held) down(n, size int) {
	for range n {
		h.peer.WriteToUDPAddrPort(make([]byte, size), h.relayA)
	}
}

// peerGets and clientGets read a burst.
func (h *held) peerGets(sizes ...int) {
	h.t.Helper()
	buf := make([]byte, 2000)
	for i, want := range sizes {
		h.peer.SetReadDeadline(time.Now().Add(patience))
		n, from, err := h.peer.ReadFromUDPAddrPort(buf)
		if err != nil || n != want || from != h.relayA {
			h.t.Fatalf("packet %d: %d bytes from %v: %v", i, n, from, err)
		}
	}
}

func (h *held) clientGets(w *wire, number uint16, sizes ...int) {
	h.t.Helper()
	for i, want := range sizes {
		got, _, channel := w.data(patience)
		if len(got) != want || channel != number {
			h.t.Fatalf("packet %d: %d bytes in channel %x", i, len(got), channel)
		}
	}
}

func seven(size int) []int { return []int{size, size, size, size, size, size, size} }

// A burst of seven packets costs three system calls, whichever way it goes: 0.43
// for a packet. Without segmentation it is the same, as one call sends many.
func TestSyscallsPerBurst(t *testing.T) {
	for _, gso := range []GSO{GSOAuto, GSOOff} {
		h := newHeld(t, gso)
		const want = "1 waits, 1 receives, 1 sends"
		h.up(7, 1200)
		h.w.round()
		h.peerGets(seven(1200)...)
		if got := h.count(); got != want {
			t.Errorf("GSO %s, to a peer: %s", gso, got)
		}
		h.down(7, 1200)
		h.w.round()
		h.clientGets(h.a, 0x4000, seven(1200)...)
		if got := h.count(); got != want {
			t.Errorf("GSO %s, to a client: %s", gso, got)
		}
		h.across(7, 1200)
		h.w.round()
		h.clientGets(h.b, 0x4001, seven(1200)...)
		if got := h.count(); got != want {
			t.Errorf("GSO %s, from client to client: %s", gso, got)
		}
		if n := testutil.ToFloat64(h.w.l.s.metrics.segmented); n != map[GSO]float64{GSOAuto: 21, GSOOff: 0}[gso] {
			t.Errorf("GSO %s: %v packets in segments", gso, n)
		}
	}
}

// Packets of all sizes arrive as they were sent: each of its own size, none
// joined to another, in order.
func TestSegmentBoundaries(t *testing.T) {
	h := newHeld(t, GSOAuto)
	sizes := []int{1000, 1000, 400, 1000, 1001, 0, 0, 5, 5, 5, 3, 3, maxSegment, maxSegment, maxSegment + 1, maxSegment + 1, 1500, 1500, 1}
	for range 40 { // more than one message holds
		sizes = append(sizes, 900)
	}
	for _, n := range sizes {
		h.up(1, n)
	}
	h.w.round()
	h.peerGets(sizes...)
	for _, n := range sizes {
		h.down(1, n)
	}
	h.w.round()
	h.clientGets(h.a, 0x4000, sizes...)
	for _, n := range sizes {
		h.across(1, n)
	}
	h.w.round()
	h.clientGets(h.b, 0x4001, sizes...)
	for range 70 { // more than is read at once
		h.up(1, 1200)
	}
	h.w.round()
	for range 70 {
		h.peerGets(1200)
	}
}

// Where the system refuses segmentation every packet still goes, and the socket
// asks no more.
func TestSegmentationRefused(t *testing.T) {
	h := newHeld(t, GSOAuto)
	// The kernel segments nothing that has no checksum.
	if err := unix.SetsockoptInt(h.alloc.sock.(*relayPort).fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
		t.Fatal(err)
	}
	m := h.w.l.s.metrics
	for i, want := range []string{"1 waits, 1 receives, 8 sends", "1 waits, 1 receives, 1 sends"} {
		h.up(7, 1200)
		h.w.round()
		h.peerGets(seven(1200)...)
		if got := h.count(); got != want {
			t.Errorf("burst %d: %s", i, got)
		}
		if n := testutil.ToFloat64(m.unsegmented); n != 1 {
			t.Errorf("burst %d: %v sockets without segmentation", i, n)
		}
	}
	h.down(7, 1200) // another socket
	h.w.round()
	h.clientGets(h.a, 0x4000, seven(1200)...)
	if n := testutil.ToFloat64(m.segmented); n != 7 {
		t.Errorf("%v packets in segments", n)
	}
	if up := testutil.ToFloat64(m.packets[dirUp]); up != 14 {
		t.Errorf("%v packets counted", up)
	}
}

// A failure that is about one destination does not end segmentation for the
// others, once it has worked.
func TestSegmentationRefusedOnce(t *testing.T) {
	var r rawSocket
	if !r.refused(unix.EINVAL) || r.refused(unix.EINVAL) || !r.plain.Load() {
		t.Error("a socket on which it never worked goes on asking")
	}
	var proven rawSocket
	proven.worked()
	if proven.refused(unix.EINVAL) || proven.plain.Load() {
		t.Error("one destination ended it")
	}
	if !proven.refused(unix.EIO) || !proven.plain.Load() {
		t.Error("EIO did not end it")
	}
}

// An allocation that ends leaves its descriptor to no one: what is on its way is
// dropped and counted.
func TestEndWithPacketsOnTheirWay(t *testing.T) {
	h := newHeld(t, GSOAuto)
	h.w.at = time.Now()
	buf := make([]byte, bufferBytes)
	h.alloc.fromClient(h.w, 0x4000, packet{buf, headroom, headroom + 100})
	h.alloc.fromClient(h.w, 0x4001, packet{buf, headroom, headroom + 100})
	h.alloc.end(endRevoked)
	h.w.flush()
	if n := h.w.l.s.dropped(dropSocket); n != 1 {
		t.Errorf("%d dropped", n)
	}
	h.clientGets(h.b, 0x4001, 100)
	if h.alloc.sock.(*relayPort).acquire() {
		t.Error("the socket is open")
	}
}

func TestDescriptor(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	d := &descriptor{fd: fds[0]}
	open := func() bool {
		_, err := unix.FcntlInt(uintptr(fds[1]), unix.F_GETFD, 0)
		return err == nil && poll(fds[1])
	}
	for range 2 {
		if !d.acquire() {
			t.Fatal("cannot be used")
		}
	}
	d.close()
	d.close()
	if d.acquire() {
		t.Error("used after close")
	}
	d.release()
	if !open() {
		t.Error("closed while it is used")
	}
	d.release()
	if open() {
		t.Error("not closed by the last user")
	}
	d.close()
}

// poll reports whether a pipe has a reader.
func poll(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 1 && p[0].Revents&unix.POLLERR == 0
}

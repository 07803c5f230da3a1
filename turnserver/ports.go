package turnserver

import (
	"errors"
	"math/bits"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

var errNoPort = errors.New("no relay port is free")

// ports hands out relay sockets of one address family. A bitmap says which ports
// are ours, so a full range is noticed at once instead of by bad luck.
type ports struct {
	addr relayAddr
	low  int
	n    int

	mu   sync.Mutex
	used []uint64
	free int
}

func newPorts(addr relayAddr, r PortRange) *ports {
	n := r.size()
	return &ports{addr: addr, low: int(r.Low), n: n, used: make([]uint64, (n+63)/64), free: n}
}

// maxBusyPorts is how many ports held by other programs one open tries to get past.
const maxBusyPorts = 100

// open binds a relay socket to a random free port, an even one if wanted, and
// returns also the address that peers see.
func (p *ports) open(even bool) (*net.UDPConn, netip.AddrPort, error) {
	var busy []uint16
	defer func() {
		for _, port := range busy {
			p.release(port)
		}
	}()
	for range maxBusyPorts {
		port, ok := p.take(even)
		if !ok {
			break
		}
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.addr.bind, port)))
		if err == nil {
			setReceiveBuffer(conn, relayBuffer) // best effort: the system may clip it
			return conn, netip.AddrPortFrom(p.addr.public, port), nil
		}
		busy = append(busy, port)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, netip.AddrPort{}, err
		}
	}
	return nil, netip.AddrPort{}, errNoPort
}

// relayBuffer is the receive buffer of a relay socket: half a second of one
// allocation's default bandwidth.
const relayBuffer = 512 << 10

func (p *ports) take(even bool) (uint16, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free == 0 {
		return 0, false
	}
	start := rand.IntN(p.n)
	for i := range len(p.used) + 1 {
		w := (start/64 + i) % len(p.used)
		vacant := ^p.used[w]
		if i == 0 {
			vacant &= ^uint64(0) << (start % 64)
		}
		if even {
			vacant &= 0x5555555555555555 << (p.low & 1)
		}
		if last := p.n - w*64; last < 64 {
			vacant &= 1<<last - 1
		}
		if vacant != 0 {
			bit := bits.TrailingZeros64(vacant)
			p.used[w] |= 1 << bit
			p.free--
			return uint16(p.low + w*64 + bit), true
		}
	}
	return 0, false
}

func (p *ports) release(port uint16) {
	i := int(port) - p.low
	p.mu.Lock()
	defer p.mu.Unlock()
	if i >= 0 && i < p.n && p.used[i/64]&(1<<(i%64)) != 0 {
		p.used[i/64] &^= 1 << (i % 64)
		p.free++
	}
}

func (p *ports) available() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.free
}

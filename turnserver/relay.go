package turnserver

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rondo-chat/rondo/internal/ratelimit"
)

// This file decides what is relayed between clients and peers. It needs nothing
// from pion. How packets come and go is another matter: one by one (direct.go) or,
// on Linux, many at once (dataplane_linux.go). What holds for one holds for the
// other, for both have only this to ask.

const (
	permissionLifetime = 5 * time.Minute  // RFC 8656 section 9
	channelLifetime    = 10 * time.Minute // RFC 8656 section 12

	firstChannel = 0x4000
	lastChannel  = 0x4FFF

	channelHeader = 4
	maxFrame      = 1600 // of what clients send: a datagram fits the Internet's MTU
	headroom      = 64   // before a packet, for the header that it gets on its way
	// bufferBytes holds any datagram: one byte more shows that it is too long, three
	// more are for padding.
	bufferBytes = headroom + maxFrame + 1 + 3
)

// packet is a payload within a buffer that has at least headroom bytes before it
// (which it may overwrite: whatever stood there has been dealt with).
type packet struct {
	buf     []byte
	at, end int
}

func (p packet) payload() []byte { return p.buf[p.at:p.end] }

// outlet is how what a goroutine has read leaves it.
type outlet interface {
	now() time.Time
	// toPeer sends through the allocation's relay socket and counts what became
	// of it; toClient sends to the allocation's client. The packet's buffer stays
	// with the outlet until flush.
	toPeer(a *allocation, b []byte, peer netip.AddrPort)
	toClient(a *allocation, b []byte)
	relayed(d direction, n int)
	drop(r dropReason)
	// flush sends what is still here: before whatever must not overtake it.
	flush()
}

// relaySocket is the socket of an allocation.
type relaySocket interface {
	// send sends one datagram, or drops it; it does not wait.
	send(b []byte, peer netip.AddrPort) error
	// receive has the allocation take what peers send, until it ends.
	receive(a *allocation) error
	close()
}

// endReason is why an allocation ended.
type endReason string

const (
	endReleased endReason = "released" // expired, or the client gave it back
	endRevoked  endReason = "revoked"
	endConn     endReason = "connection_closed"
	endFailed   endReason = "failed"
)

// allocation is one client's relayed transport address (RFC 8656 section 3).
type allocation struct {
	// static after construction
	s       *Server
	id      uint64
	client  client
	who     identity
	key     []byte
	relay   netip.AddrPort // as peers see it
	sock    relaySocket
	tid     [tidBytes]byte // of the Allocate request that made it
	created time.Time
	done    chan struct{} // closed when it ended

	// owned by the control goroutine
	lifetime time.Duration // as last answered

	ended          atomic.Bool
	upped, downed  atomic.Uint64 // bytes
	mu             sync.Mutex    // guards the rest
	permissions    map[netip.Addr]time.Time
	channels       map[uint16]*channel
	peers          map[netip.AddrPort]*channel
	upRate, dnRate ratelimit.Bucket
}

// channel is a channel number bound to a peer.
type channel struct {
	number uint16
	peer   netip.AddrPort
	until  time.Time
}

// fromClient relays what the client put into a channel.
func (a *allocation) fromClient(o outlet, number uint16, p packet) {
	now := o.now()
	a.mu.Lock()
	ch := a.channels[number]
	if ch == nil || !now.Before(ch.until) {
		a.mu.Unlock()
		o.drop(dropChannel)
		return
	}
	peer := ch.peer
	reason := a.admitLocked(&a.upRate, peer.Addr(), p, now)
	a.mu.Unlock()
	if reason != "" {
		o.drop(reason)
		return
	}
	a.toPeer(o, p, peer)
}

// sendIndication relays what the client put into a Send indication. It refreshes
// no permission (RFC 8656 section 11.2).
func (a *allocation) sendIndication(o outlet, peer netip.AddrPort, p packet) {
	a.mu.Lock()
	reason := a.admitLocked(&a.upRate, peer.Addr(), p, o.now())
	a.mu.Unlock()
	if reason != "" {
		o.drop(reason)
		return
	}
	a.toPeer(o, p, peer)
}

// admitLocked checks permission and bandwidth.
func (a *allocation) admitLocked(b *ratelimit.Bucket, peer netip.Addr, p packet, now time.Time) dropReason {
	if !now.Before(a.permissions[peer]) {
		return dropPermission
	}
	if ok, _ := b.Take(now, float64(p.end-p.at), a.s.cfg.Limits.bandwidth()); !ok {
		return dropBandwidth
	}
	if !a.s.total.take(p.end-p.at, now) {
		return dropBandwidth
	}
	return ""
}

// toPeer sends to a relay of this server within the process, to others through
// the relay socket if the policy lets it.
func (a *allocation) toPeer(o outlet, p packet, peer netip.AddrPort) {
	n := p.end - p.at
	a.upped.Add(uint64(n))
	if to := a.s.relays.get(peer); to != nil {
		o.relayed(dirHairpin, n)
		to.fromPeer(o, p, a.relay)
		return
	}
	if d := a.s.policy.Load().sendable(peer); d != allowed {
		o.drop(dropPolicy)
		return
	}
	o.toPeer(a, p.payload(), peer)
}

// received takes one datagram from the relay socket.
func (a *allocation) received(o outlet, p packet, from netip.AddrPort) {
	if p.end-p.at > maxFrame {
		o.drop(dropGarbage)
		return
	}
	if a.s.policy.Load().address(from.Addr()) != allowed {
		o.drop(dropPolicy)
		return
	}
	a.fromPeer(o, p, from)
}

// fromPeer passes what a peer sent on to the client.
func (a *allocation) fromPeer(o outlet, p packet, from netip.AddrPort) {
	now := o.now()
	a.mu.Lock()
	reason := a.admitLocked(&a.dnRate, from.Addr(), p, now)
	var number uint16
	if ch := a.peers[from]; ch != nil && now.Before(ch.until) {
		number = ch.number
	}
	a.mu.Unlock()
	if reason != "" {
		o.drop(reason)
		return
	}
	n := p.end - p.at
	a.downed.Add(uint64(n))
	o.relayed(dirDown, n)
	if number != 0 {
		o.toClient(a, channelFrame(p, number, a.client.padded()))
		return
	}
	o.toClient(a, dataIndication(p, from, a.s.indicationID()))
}

// channelFrame puts a ChannelData header before the payload, in place. Streams
// need padding (RFC 8656 section 12.5).
func channelFrame(p packet, number uint16, padded bool) []byte {
	start := p.at - channelHeader
	binary.BigEndian.PutUint16(p.buf[start:], number)
	binary.BigEndian.PutUint16(p.buf[start+2:], uint16(p.end-p.at))
	if padded {
		return pad(p.buf[start:p.end])
	}
	return p.buf[start:p.end]
}

// dataIndication puts the header of a Data indication before the payload, in
// place (RFC 8656 section 11.3).
func dataIndication(p packet, from netip.AddrPort, tid [tidBytes]byte) []byte {
	var value [20]byte
	v := appendXORAddr(value[:0], from, tid)
	start := p.at - 4 - len(v) - 4 - headerBytes
	h := p.buf[start:start]
	h = binary.BigEndian.AppendUint16(h, joinType(methodData, classIndication))
	h = binary.BigEndian.AppendUint16(h, uint16(4+len(v)+4+(p.end-p.at+3)&^3))
	h = binary.BigEndian.AppendUint32(h, cookie)
	h = append(h, tid[:]...)
	h = binary.BigEndian.AppendUint16(h, uint16(attrXORPeer))
	h = binary.BigEndian.AppendUint16(h, uint16(len(v)))
	h = append(h, v...)
	h = binary.BigEndian.AppendUint16(h, uint16(attrData))
	binary.BigEndian.AppendUint16(h, uint16(p.end-p.at))
	return pad(p.buf[start:p.end])
}

// pad fills up to a multiple of 4 with zeros, in place where the buffer has room:
// what follows a packet there is its own padding, or free.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// permit installs or refreshes permissions, all or, when they would be too many,
// none.
func (a *allocation) permit(peers []netip.AddrPort, limit int, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expireLocked(now)
	fresh := map[netip.Addr]bool{}
	for _, p := range peers {
		if _, ok := a.permissions[p.Addr()]; !ok {
			fresh[p.Addr()] = true
		}
	}
	if len(a.permissions)+len(fresh) > limit {
		return false
	}
	for _, p := range peers {
		a.permissions[p.Addr()] = now.Add(permissionLifetime)
	}
	return true
}

// bind binds or refreshes a channel, and its permission. A number has one peer
// and a peer one number (RFC 8656 section 12.2); else the error code is 400.
func (a *allocation) bind(number uint16, peer netip.AddrPort, l *Limits, now time.Time) (code int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expireLocked(now)
	ch := a.channels[number]
	if ch != a.peers[peer] {
		return 400
	}
	_, permitted := a.permissions[peer.Addr()]
	if ch == nil && len(a.channels) >= l.Channels || !permitted && len(a.permissions) >= l.Permissions {
		return 508
	}
	if ch == nil {
		ch = &channel{number: number, peer: peer}
		a.channels[number], a.peers[peer] = ch, ch
	}
	ch.until = now.Add(channelLifetime)
	a.permissions[peer.Addr()] = now.Add(permissionLifetime)
	return 0
}

// expireLocked forgets what has expired. Until then it counts, but lets nothing pass.
func (a *allocation) expireLocked(now time.Time) {
	for addr, until := range a.permissions {
		if !now.Before(until) {
			delete(a.permissions, addr)
		}
	}
	for number, ch := range a.channels {
		if !now.Before(ch.until) {
			delete(a.channels, number)
			delete(a.peers, ch.peer)
		}
	}
}

// counts returns how many permissions and channels there are.
func (a *allocation) counts() (permissions, channels int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.permissions), len(a.channels)
}

// end closes the relay and forgets the allocation, once. It never calls pion,
// which notices that the relay socket is closed.
func (a *allocation) end(why endReason) {
	if !a.ended.CompareAndSwap(false, true) {
		return
	}
	a.sock.close()
	a.s.forget(a, why)
	close(a.done)
}

// relays finds allocations by the relayed transport address that peers see.
type relays struct {
	mu  sync.RWMutex
	all map[netip.AddrPort]*allocation
}

func (r *relays) get(addr netip.AddrPort) *allocation {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.all[addr]
}

func (r *relays) add(a *allocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[a.relay] = a
}

func (r *relays) remove(a *allocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all[a.relay] == a {
		delete(r.all, a.relay)
	}
}

func (r *relays) len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.all)
}

// list returns the allocations that fit.
func (r *relays) list(fits func(*allocation) bool) (found []*allocation) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, a := range r.all {
		if fits(a) {
			found = append(found, a)
		}
	}
	return found
}

// sharedRate is a rate that all allocations share; nil means none.
type sharedRate struct {
	rate ratelimit.Rate

	mu     sync.Mutex
	bucket ratelimit.Bucket
}

func newSharedRate(bytesPerSecond int64) *sharedRate {
	if bytesPerSecond <= 0 {
		return nil
	}
	return &sharedRate{rate: ratelimit.Rate{PerSecond: float64(bytesPerSecond), Burst: max(float64(bytesPerSecond)/4, 256<<10)}}
}

func (r *sharedRate) take(n int, now time.Time) bool {
	if r == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ok, _ := r.bucket.Take(now, float64(n), r.rate)
	return ok
}

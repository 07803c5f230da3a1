package turnload

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"time"
)

// Scenario is which way packets go, and how many follow one another.
type Scenario struct {
	Way   Way
	Burst int // packets from one client before it is another's turn
}

func (s Scenario) String() string { return fmt.Sprintf("%s b%d", s.Way, s.Burst) }

// Way is where packets go.
type Way string

// Ways.
const (
	Up   Way = "up"   // client to peer
	Down Way = "down" // peer to client
	Pair Way = "pair" // client to client, through the relays of both
)

// Scenarios are all of them: single packets, and bursts of seven, as a video frame is.
func Scenarios() []Scenario {
	return []Scenario{{Up, 1}, {Up, 7}, {Down, 1}, {Down, 7}, {Pair, 1}, {Pair, 7}}
}

// Load says how much is sent.
type Load struct {
	Allocations int           // even; default 100
	PerSecond   int           // packets of all clients together; default 20,000
	Bytes       int           // payload of one packet; default 1,200
	Duration    time.Duration // of one scenario; default 1 s
}

func (l Load) withDefaults() Load {
	def(&l.Allocations, 100)
	def(&l.PerSecond, 20_000)
	def(&l.Bytes, 1200)
	def(&l.Duration, time.Second)
	return l
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Result is what one scenario cost one server.
type Result struct {
	Sent, Received int
	CPU            time.Duration // of the server's process
	P50, P99       time.Duration // from sent to received; includes what the machine kept both waiting
}

// PerMillion is CPU seconds per million packets that came through.
func (r Result) PerMillion() float64 {
	if r.Received == 0 {
		return 0
	}
	return r.CPU.Seconds() / float64(r.Received) * 1e6
}

// Loss is the share of packets that did not come.
func (r Result) Loss() float64 { return 1 - float64(r.Received)/float64(max(r.Sent, 1)) }

const (
	channelPeer = 0x4000
	channelPair = 0x4001

	headBytes    = 8 // of a payload: when it was sent
	clientsPerIP = 10
)

// Field is a server's clients and their peers.
type Field struct {
	server  Server
	load    Load
	clients []*client
	peers   []*socket
}

// NewField makes the allocations. The server is one that Start made.
func NewField(server Server, load Load) (*Field, error) {
	f := &Field{server: server, load: load.withDefaults()}
	for i := range f.load.Allocations {
		at := netip.AddrPortFrom(clientAddr(1, i/clientsPerIP), 0)
		c, err := newClient(server.Addr, at, server.Secret, fmt.Sprint("u", i))
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("turnload: client %d: %w", i, err)
		}
		f.clients = append(f.clients, c)
		peer, err := newSocket(netip.AddrPortFrom(loopback, 0))
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("turnload: %w", err)
		}
		f.peers = append(f.peers, peer)
	}
	if err := f.bind(); err != nil {
		f.Close()
		return nil, fmt.Errorf("turnload: %w", err)
	}
	return f, nil
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// clientAddr is one of many addresses of this machine.
func clientAddr(net, i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(net), byte(i / 250), byte(1 + i%250)})
}

// bind binds every client's channels: to its peer, and to its partner's relay.
func (f *Field) bind() error {
	for i, c := range f.clients {
		if err := c.bind(channelPeer, f.peers[i].local); err != nil {
			return err
		}
		if err := c.bind(channelPair, f.clients[i^1].relay); err != nil {
			return err
		}
	}
	return nil
}

// Close ends clients and peers. The allocations expire by themselves.
func (f *Field) Close() {
	for _, c := range f.clients {
		c.sock.close()
	}
	for _, p := range f.peers {
		p.close()
	}
}

// sink reads what comes to all sockets of one kind.
type sink struct {
	sockets []*socket
	before  int // bytes before the payload
	delays  []time.Duration
}

// sinkEvery is how often the sockets are read. Nobody waits at them, so the server
// never has to wake anybody: on a network it would not either. The kernel says when
// each packet came.
const sinkEvery = time.Millisecond

func (k *sink) read(buf []byte) {
	for _, s := range k.sockets {
		for {
			n, at := s.receive(buf)
			if n < 0 {
				break
			}
			if n >= k.before+headBytes && (k.before == 0 || buf[0]>>6 == 1) {
				k.delays = append(k.delays, at.Sub(time.Unix(0, int64(binary.BigEndian.Uint64(buf[k.before:])))))
			}
		}
	}
}

// Run sends one scenario's packets and waits for them.
func (f *Field) Run(ctx context.Context, s Scenario) (Result, error) {
	k := &sink{sockets: f.peers, delays: make([]time.Duration, 0, int(float64(f.load.PerSecond)*f.load.Duration.Seconds())+1000)}
	if s.Way != Up {
		k.sockets, k.before = nil, 4
		for _, c := range f.clients {
			k.sockets = append(k.sockets, c.sock)
		}
	}
	before, err := f.server.cpu()
	if err != nil {
		return Result{}, err
	}
	sending := make(chan int, 1)
	go func() { sending <- f.send(ctx, s) }()
	sent := k.collect(ctx, sending)
	after, err := f.server.cpu()
	if err != nil {
		return Result{}, err
	}
	r := Result{Sent: sent, Received: len(k.delays), CPU: after - before}
	slices.Sort(k.delays)
	if n := len(k.delays); n > 0 {
		r.P50, r.P99 = k.delays[n/2], k.delays[n*99/100]
	}
	return r, ctx.Err()
}

// collect reads until all that was sent has come, or nothing came for a while. It
// returns how many were sent.
func (k *sink) collect(ctx context.Context, sending <-chan int) (sent int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buf := make([]byte, 2000)
	last, since := 0, time.Now()
	for sent == 0 || len(k.delays) < sent && time.Since(since) < lostAfter {
		pause(sinkEvery)
		k.read(buf)
		if sent == 0 {
			select {
			case sent = <-sending:
				since = time.Now()
			default:
			}
		}
		if len(k.delays) != last {
			last, since = len(k.delays), time.Now()
		}
		if ctx.Err() != nil && sent == 0 {
			return <-sending
		}
	}
	return sent
}

const lostAfter = 200 * time.Millisecond

// send sends bursts when they are due, one client after another; those that are
// late go at once.
func (f *Field) send(ctx context.Context, s Scenario) (sent int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	gap := time.Duration(s.Burst) * time.Second / time.Duration(f.load.PerSecond)
	bursts := int(f.load.Duration / gap)
	buf := make([]byte, 4+f.load.Bytes)
	start := time.Now()
	for k := range bursts {
		if ctx.Err() != nil {
			return sent
		}
		if early := time.Until(start.Add(time.Duration(k) * gap)); early > 0 {
			pause(early)
		}
		for range s.Burst {
			if f.sendOne(s.Way, k%len(f.clients), buf) == nil {
				sent++
			}
		}
	}
	return sent
}

func (f *Field) sendOne(way Way, i int, buf []byte) error {
	number := uint16(channelPeer)
	if way == Pair {
		number = channelPair
	}
	binary.BigEndian.PutUint16(buf, number)
	binary.BigEndian.PutUint16(buf[2:], uint16(len(buf)-4))
	binary.BigEndian.PutUint64(buf[4:], uint64(time.Now().UnixNano()))
	if way == Down {
		return f.peers[i].send(buf[4:], f.clients[i].relay)
	}
	return f.clients[i].sock.send(buf, f.server.Addr)
}

package turnload

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
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
	socketBuffer = 4 << 20
)

// Field is a server's clients and their peers.
type Field struct {
	server  Server
	load    Load
	epoch   time.Time
	clients []*client
	peers   []*net.UDPConn
	sinks   sync.WaitGroup

	received atomic.Int64
	mu       sync.Mutex
	delays   []time.Duration
}

// NewField makes the allocations. The server is one that Start made.
func NewField(server Server, load Load) (*Field, error) {
	f := &Field{server: server, load: load.withDefaults(), epoch: time.Now()}
	for i := range f.load.Allocations {
		at := netip.AddrPortFrom(clientAddr(1, i/clientsPerIP), 0)
		c, err := newClient(server.Addr, at, server.Secret, fmt.Sprint("u", i))
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("turnload: client %d: %w", i, err)
		}
		c.conn.SetReadBuffer(socketBuffer)
		f.clients = append(f.clients, c)
		peer, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("turnload: %w", err)
		}
		peer.SetReadBuffer(socketBuffer)
		f.peers = append(f.peers, peer)
	}
	if err := f.bind(); err != nil {
		f.Close()
		return nil, fmt.Errorf("turnload: %w", err)
	}
	for i := range f.clients {
		c := f.clients[i]
		c.answers = make(chan []byte, 16)
		f.sinks.Go(func() { f.sink(c.conn, 4, c.answers) })
		f.sinks.Go(func() { f.sink(f.peers[i], 0, nil) })
	}
	return f, nil
}

// clientAddr is one of many addresses of this machine.
func clientAddr(net, i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(net), byte(i / 250), byte(1 + i%250)})
}

// bind binds every client's channels: to its peer, and to its partner's relay.
func (f *Field) bind() error {
	for i, c := range f.clients {
		peer := f.peers[i].LocalAddr().(*net.UDPAddr).AddrPort()
		if err := c.bind(channelPeer, netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())); err != nil {
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
		c.conn.Close()
	}
	for _, p := range f.peers {
		p.Close()
	}
	f.sinks.Wait()
}

// sink reads what comes to one socket: payloads after so many bytes, and answers.
func (f *Field) sink(conn *net.UDPConn, before int, answers chan<- []byte) {
	buf := make([]byte, 2000)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if answers != nil && n > 0 && buf[0] < 2 {
			select {
			case answers <- append([]byte{}, buf[:n]...):
			default:
			}
			continue
		}
		if n < before+headBytes {
			continue
		}
		delay := time.Since(f.epoch) - time.Duration(binary.BigEndian.Uint64(buf[before:]))
		f.received.Add(1)
		f.mu.Lock()
		f.delays = append(f.delays, delay)
		f.mu.Unlock()
	}
}

// Run sends one scenario's packets and waits for them.
func (f *Field) Run(ctx context.Context, s Scenario) (Result, error) {
	f.received.Store(0)
	f.mu.Lock()
	f.delays = make([]time.Duration, 0, int(float64(f.load.PerSecond)*f.load.Duration.Seconds())+1000)
	f.mu.Unlock()
	before, err := f.server.cpu()
	if err != nil {
		return Result{}, err
	}
	sent := f.send(ctx, s)
	f.drain(ctx, sent)
	after, err := f.server.cpu()
	if err != nil {
		return Result{}, err
	}
	r := Result{Sent: sent, Received: int(f.received.Load()), CPU: after - before}
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.delays)
	if n := len(f.delays); n > 0 {
		r.P50, r.P99 = f.delays[n/2], f.delays[n*99/100]
	}
	return r, ctx.Err()
}

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
	binary.BigEndian.PutUint64(buf[4:], uint64(time.Since(f.epoch)))
	if way == Down {
		_, err := f.peers[i].WriteToUDPAddrPort(buf[4:], f.clients[i].relay)
		return err
	}
	_, err := f.clients[i].conn.Write(buf)
	return err
}

// drain waits until all have come, or none came for a while.
func (f *Field) drain(ctx context.Context, sent int) {
	last, since := int64(-1), time.Now()
	for ctx.Err() == nil && f.received.Load() < int64(sent) {
		if n := f.received.Load(); n != last {
			last, since = n, time.Now()
		} else if time.Since(since) > lostAfter {
			return
		}
		pause(time.Millisecond)
	}
}

const lostAfter = 200 * time.Millisecond

package turnserver

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestSamePackets sends the same packets through both data paths: the same must
// come out, in the same order on each way, and be counted the same.
func TestSamePackets(t *testing.T) {
	if !hasDataPlane {
		return // there is one path
	}
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			slow, slowCounts := newScene(t, true).play(seed, 120)
			fast, fastCounts := newScene(t, false).play(seed, 120)
			for way, want := range slow {
				if got := fast[way]; !slices.Equal(got, want) {
					t.Errorf("%s:\none by one %v\nmany at once %v", way, want, got)
				}
			}
			for way := range fast {
				if slow[way] == nil {
					t.Errorf("%s: %v only with many at once", way, fast[way])
				}
			}
			if fastCounts != slowCounts {
				t.Errorf("counted one by one:\n%smany at once:\n%s", slowCounts, fastCounts)
			}
			if len(slow) != 5*sceneClients {
				t.Errorf("only %d ways were used", len(slow))
			}
		})
	}
}

// scene is a server with clients that have two peers each.
type scene struct {
	t       *testing.T
	s       *Server
	rnd     *rand.Rand
	clients []*wire
	relays  []netip.AddrPort
	peers   []*net.UDPConn // of client i: 2i, which has a channel, and 2i+1
	names   map[netip.AddrPort]string
	got     map[string][]string // what came, by way
}

const (
	sceneClients = 4 // the last one is on TCP

	channelPeer     = 0x4001
	channelNext     = 0x4002 // the relay of the next client
	channelPrevious = 0x4003
	channelNobody   = 0x4004
)

func newScene(t *testing.T, portable bool) *scene {
	sc := &scene{t: t, names: map[netip.AddrPort]string{}, got: map[string][]string{}}
	sc.s = testServer(t, func(c *Config) {
		noLimits(c)
		c.portable = portable
		c.Policy.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.Limits.Bandwidth = -1
	})
	for i := range sceneClients {
		over := overUDP
		if i == sceneClients-1 {
			over = overTCP
		}
		w := newWire(t, sc.s, over, fmt.Sprint("user", i))
		sc.clients = append(sc.clients, w)
		sc.relays = append(sc.relays, w.allocated())
		sc.names[sc.relays[i]] = fmt.Sprint("relay ", i)
	}
	for i := range 2 * sceneClients {
		p, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		sc.peers = append(sc.peers, p)
		sc.names[sc.peer(i)] = fmt.Sprint("peer ", i)
	}
	for i, w := range sc.clients {
		w.must(methodChannelBind, peerOpt(sc.peer(2*i).String()), channelOpt(channelPeer))
		w.must(methodChannelBind, peerOpt(sc.next(i).String()), channelOpt(channelNext))
		if i%2 == 0 { // the others get Data indications
			w.must(methodChannelBind, peerOpt(sc.relays[(i+3)%4].String()), channelOpt(channelPrevious))
		}
	}
	return sc
}

func (sc *scene) peer(i int) netip.AddrPort { return localAddr(sc.peers[i].LocalAddr()) }
func (sc *scene) next(i int) netip.AddrPort { return sc.relays[(i+1)%sceneClients] }

// play has everybody send what the seed says, and returns what came, by way, and
// what the server counted.
func (sc *scene) play(seed uint64, steps int) (got map[string][]string, counted string) {
	sc.rnd = rand.New(rand.NewPCG(seed, seed))
	for range steps {
		sc.act()
		if sc.rnd.IntN(4) == 0 {
			sc.settle()
		}
	}
	sc.settle()
	m := sc.s.metrics
	for _, d := range []direction{dirUp, dirDown, dirHairpin} {
		counted += fmt.Sprintf("%s: %v packets, %v bytes\n", d, testutil.ToFloat64(m.packets[d]), testutil.ToFloat64(m.bytes[d]))
	}
	for _, r := range allDropReasons() {
		counted += fmt.Sprintf("%s: %d\n", r, sc.s.dropped(r))
	}
	return sc.got, counted
}

// act is one thing that a client or its peers do.
func (sc *scene) act() {
	i := sc.rnd.IntN(sceneClients)
	w := sc.clients[i]
	payload := sc.payload()
	burst := 1 + sc.rnd.IntN(9)
	switch what := sc.rnd.IntN(12); what {
	case 0, 1:
		for range burst {
			w.sendChannel(channelPeer, payload)
		}
		w.sendChannel(channelPeer, payload[:len(payload)/2]) // ends a segmented message
		w.sendChannel(channelPeer, payload)
	case 2, 3:
		for k := range burst {
			w.sendChannel(channelNext, payload[:len(payload)*(k%2+1)/2])
		}
	case 4:
		w.sendIndication(sc.peer(2*i), payload)
		w.sendIndication(sc.peer(2*i+1), payload)
	case 5:
		w.sendIndication(sc.next(i), payload)
	case 6:
		w.sendChannel(channelNobody, payload)
	case 7: // no permission, ports of services
		for _, to := range []string{"127.0.0.9:5000", "127.0.0.1:53", "127.0.0.1:1900"} {
			w.sendIndication(netip.MustParseAddrPort(to), payload)
		}
	case 8:
		if w.over == overUDP {
			w.send(append([]byte{0x40, 0x01, 0x06, 0x40}, payload...)) // says more than it has
			w.send(payload)
			w.send(make([]byte, maxFrame+1))
		}
	case 9, 10:
		for range burst {
			sc.peers[2*i].WriteToUDPAddrPort(payload, sc.relays[i])
			sc.peers[2*i+1].WriteToUDPAddrPort(payload, sc.relays[i])
		}
	case 11:
		sc.peers[2*i].WriteToUDPAddrPort(make([]byte, maxFrame+1), sc.relays[i])
	}
}

func (sc *scene) payload() []byte {
	sizes := []int{0, 1, 3, 160, 999, 1000, 1200, 1400, 1401, 1500}
	b := make([]byte, sizes[sc.rnd.IntN(len(sizes))])
	for i := range b {
		b[i] = byte(sc.rnd.Uint32())
	}
	return b
}

// settle waits until all that was sent has come: every way keeps its order, so
// what is sent last on it comes last.
func (sc *scene) settle() {
	sc.t.Helper()
	mark := []byte("mark")
	for i, w := range sc.clients {
		w.sendChannel(channelPeer, mark)
		w.sendIndication(sc.peer(2*i+1), mark)
		w.sendChannel(channelNext, mark)
		sc.peers[2*i].WriteToUDPAddrPort(mark, sc.relays[i])
		sc.peers[2*i+1].WriteToUDPAddrPort(mark, sc.relays[i])
	}
	for i, w := range sc.clients {
		for marks := 0; marks < 3; { // from two peers and one relay
			marks += sc.note(fmt.Sprint("client ", i), w)
		}
	}
	for i, p := range sc.peers {
		buf := make([]byte, 2000)
		for marks := 0; marks < 1; {
			p.SetReadDeadline(time.Now().Add(patience))
			n, from, err := p.ReadFromUDPAddrPort(buf)
			if err != nil {
				sc.t.Fatalf("peer %d: %v", i, err)
			}
			marks += sc.came(fmt.Sprintf("peer %d from %s", i, sc.names[from]), buf[:n])
		}
	}
	for _, w := range sc.clients {
		w.sync() // what is dropped is counted, too
	}
}

// note takes one message of a client's.
func (sc *scene) note(who string, w *wire) int {
	sc.t.Helper()
	b, ok := w.recv(patience)
	if !ok {
		sc.t.Fatalf("%s: what was sent does not come", who)
	}
	if isChannelData(b) {
		n := int(binary.BigEndian.Uint16(b[2:]))
		return sc.came(fmt.Sprintf("%s, channel %x", who, b[:2]), b[4:4+n])
	}
	var m message
	if m.parse(b) != nil {
		sc.t.Fatalf("%s got %x", who, b)
	}
	v, _ := m.get(attrXORPeer)
	from, _ := xorAddr(v, m.tid)
	data, _ := m.get(attrData)
	return sc.came(fmt.Sprintf("%s, %v %v from %s", who, m.method, m.class, sc.names[from]), data)
}

func (sc *scene) came(way string, payload []byte) (marks int) {
	sc.got[way] = append(sc.got[way], fmt.Sprintf("%d:%x", len(payload), crc32.ChecksumIEEE(payload)))
	if string(payload) == "mark" {
		return 1
	}
	return 0
}

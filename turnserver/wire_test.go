package turnserver

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// wire is a TURN client that can say anything.
type wire struct {
	t    testing.TB
	s    *Server
	over transport
	conn net.Conn

	username, password string
	key, nonce         []byte
	got                []byte // what came in and is no whole frame yet
}

const patience = 5 * time.Second

func newWire(t testing.TB, s *Server, over transport, session string) *wire {
	t.Helper()
	w := &wire{t: t, s: s, over: over}
	w.username, w.password, _ = s.Mint(protocol.SessionID(session), s.cfg.now())
	w.rekey()
	w.connect()
	return w
}

func (w *wire) rekey() { w.key = longTermKey(w.username, w.s.cfg.Realm, w.password) }

// connect opens a socket of its own: a new 5-tuple.
func (w *wire) connect() {
	w.t.Helper()
	network := "tcp"
	if w.over == overUDP {
		network = "udp"
	}
	conn, err := net.Dial(network, w.s.testAddr(w.t, w.over).String())
	if err != nil {
		w.t.Fatal(err)
	}
	if local := netip.MustParseAddrPort(conn.LocalAddr().String()); w.over == overUDP && w.s.udp[0].find(udpPath{from: local}) != nil {
		// The system gave a port again whose allocation an earlier test left.
		defer conn.Close()
		w.connect()
		return
	}
	if w.over == overTLS || w.over == overHTTPS {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	w.conn, w.got = conn, nil
	w.t.Cleanup(func() { conn.Close() })
}

func (w *wire) local() netip.AddrPort {
	return netip.MustParseAddrPort(w.conn.LocalAddr().String())
}

// send writes one message, padded as streams want it.
func (w *wire) send(b []byte) {
	w.t.Helper()
	if w.over != overUDP {
		b = pad(b)
	}
	if _, err := w.conn.Write(b); err != nil {
		w.t.Fatalf("send: %v", err)
	}
}

// recv reads one message; ok is false when none comes.
func (w *wire) recv(wait time.Duration) (b []byte, ok bool) {
	w.t.Helper()
	w.conn.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 4096)
	for {
		if w.over != overUDP {
			if n, fine := frameSize(w.got); fine && n > 0 && n <= len(w.got) {
				b, w.got = w.got[:n:n], w.got[n:]
				return b, true
			}
		}
		n, err := w.conn.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) || err != nil {
			return nil, false
		}
		if w.over == overUDP {
			return buf[:n], true
		}
		w.got = append(w.got, buf[:n]...)
	}
}

// closed reports whether the server closed the connection, reading what is left.
func (w *wire) closed(wait time.Duration) bool {
	w.conn.SetReadDeadline(time.Now().Add(wait))
	_, err := io.Copy(io.Discard, w.conn)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func newTID() (tid [tidBytes]byte) {
	binary.BigEndian.PutUint64(tid[:], rand.Uint64())
	binary.BigEndian.PutUint32(tid[8:], rand.Uint32())
	return tid
}

// option changes a request while it is written.
type option struct {
	attrs       func(b *builder) // before MESSAGE-INTEGRITY
	after       func(b *builder) // after it
	tid         *[tidBytes]byte
	fingerprint bool
	bare        bool // no credential
}

func add(t attrType, v ...byte) option { return option{attrs: func(b *builder) { b.add(t, v) }} }
func addU32(t attrType, v uint32) option {
	return option{attrs: func(b *builder) { b.addUint32(t, v) }}
}
func peerOpt(addr string) option {
	return option{attrs: func(b *builder) { b.addXORAddr(attrXORPeer, testPeer(addr)) }}
}
func channelOpt(n uint16) option { return addU32(attrChannelNumber, uint32(n)<<16) }

func testPeer(addr string) netip.AddrPort {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		return ap
	}
	return netip.AddrPortFrom(netip.MustParseAddr(addr), 40000)
}

var (
	bare      = option{bare: true}
	withFP    = option{fingerprint: true}
	udpRelay  = add(attrTransport, protoUDP, 0, 0, 0)
	unknownRq = add(attrType(0x7777), 1, 2, 3, 4)
)

// build writes a request.
func (w *wire) build(m method, options ...option) (b []byte, tid [tidBytes]byte) {
	tid = newTID()
	signed, fp := true, false
	for _, o := range options {
		if o.tid != nil {
			tid = *o.tid
		}
		signed = signed && !o.bare
		fp = fp || o.fingerprint
	}
	req := newBuilder(m, classRequest, tid)
	for _, o := range options {
		if o.attrs != nil {
			o.attrs(req)
		}
	}
	if signed && m != methodBinding {
		req.add(attrUsername, []byte(w.username))
		req.add(attrRealm, []byte(w.s.cfg.Realm))
		req.add(attrNonce, w.nonce)
		req.addIntegrity(w.key)
	}
	for _, o := range options {
		if o.after != nil {
			o.after(req)
		}
	}
	if fp {
		req.addFingerprint()
	}
	return req.b, tid
}

// answer is what came back to a request.
type answer struct {
	m      message
	code   int // 0 is success
	signed bool
	silent bool
}

// String says the code and what matters beside it.
func (a answer) String() string {
	if a.silent {
		return "silent"
	}
	out := "ok"
	if a.code != 0 {
		out = strconv.Itoa(a.code)
	}
	if _, ok := a.m.get(attrNonce); ok {
		out += " nonce"
	}
	if _, ok := a.m.get(attrUnknown); ok {
		out += " unknown"
	}
	if a.signed {
		out += " MI"
	}
	if a.m.fingerprint {
		out += " FP"
	}
	return out
}

// ask sends a request and waits for its answer, passing over everything else.
func (w *wire) ask(m method, options ...option) answer {
	w.t.Helper()
	b, tid := w.build(m, options...)
	w.send(b)
	return w.await(tid)
}

func (w *wire) await(tid [tidBytes]byte) (a answer) {
	w.t.Helper()
	for {
		b, ok := w.recv(patience)
		if !ok {
			return answer{silent: true}
		}
		if a.m.parse(b) != nil || a.m.tid != tid || a.m.class == classIndication {
			continue
		}
		a.signed = a.m.authentic(w.key)
		if a.m.integrity >= 0 && !a.signed {
			w.t.Errorf("answer with a wrong MESSAGE-INTEGRITY")
		}
		a.code = errorCode(&a.m)
		if a.code == 0 && a.m.class != classSuccess {
			w.t.Errorf("error answer without code")
		}
		return a
	}
}

// tell sends bytes and then a Binding request, and returns the answer to the
// bytes, or silent when the Binding is answered first. Only for what the guard
// decides at once.
func (w *wire) tell(b []byte, tid [tidBytes]byte) (a answer) {
	w.t.Helper()
	w.send(b)
	probe, probeID := w.build(methodBinding)
	w.send(probe)
	for {
		in, ok := w.recv(patience)
		if !ok {
			return answer{silent: true}
		}
		if a.m.parse(in) != nil || a.m.class == classIndication {
			continue
		}
		if a.m.tid == probeID {
			return answer{silent: true}
		}
		if a.m.tid == tid {
			a.signed, a.code = a.m.authentic(w.key), errorCode(&a.m)
			return a
		}
	}
}

// login gets a nonce.
func (w *wire) login() *wire {
	w.t.Helper()
	a := w.ask(methodAllocate, bare)
	nonce, ok := a.m.get(attrNonce)
	if !ok {
		w.t.Fatalf("no nonce: %v", a)
	}
	w.nonce = append([]byte(nil), nonce...)
	return w
}

// allocated makes an allocation and returns its relayed address.
func (w *wire) allocated(options ...option) netip.AddrPort {
	w.t.Helper()
	w.login()
	a := w.ask(methodAllocate, append(options, udpRelay)...)
	if a.code != 0 || a.silent {
		w.t.Fatalf("allocate: %v", a)
	}
	return w.relayed(a)
}

func (w *wire) relayed(a answer) netip.AddrPort {
	w.t.Helper()
	v, _ := a.m.get(attrXORRelayed)
	relay, ok := xorAddr(v, a.m.tid)
	if !ok {
		w.t.Fatal("no XOR-RELAYED-ADDRESS")
	}
	return relay
}

func lifetimeIn(a answer) string {
	v, ok := a.m.get(attrLifetime)
	if !ok {
		return a.String()
	}
	return fmt.Sprint(a, " ", binary.BigEndian.Uint32(v))
}

// must asks and fails the test when the answer is no success.
func (w *wire) must(m method, options ...option) answer {
	w.t.Helper()
	a := w.ask(m, options...)
	if a.code != 0 || a.silent {
		w.t.Fatalf("%v: %v", m, a)
	}
	return a
}

func (w *wire) sendIndication(peer netip.AddrPort, data []byte) {
	b := newBuilder(methodSend, classIndication, newTID())
	b.addXORAddr(attrXORPeer, peer)
	b.add(attrData, data)
	w.send(b.b)
}

func (w *wire) sendChannel(n uint16, data []byte) {
	b := binary.BigEndian.AppendUint16(nil, n)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	w.send(append(b, data...))
}

// data waits for relayed data and says how it came.
func (w *wire) data(wait time.Duration) (payload string, from netip.AddrPort, channel uint16) {
	for {
		b, ok := w.recv(wait)
		if !ok {
			return "", from, 0
		}
		if b[0]>>6 == 1 {
			n := int(binary.BigEndian.Uint16(b[2:]))
			return string(b[4 : 4+n]), from, binary.BigEndian.Uint16(b)
		}
		var m message
		if m.parse(b) != nil || m.method != methodData {
			continue
		}
		v, _ := m.get(attrXORPeer)
		d, _ := m.get(attrData)
		from, _ = xorAddr(v, m.tid)
		return string(d), from, 0
	}
}

// sync waits until the server has dealt with what was sent before.
func (w *wire) sync() {
	w.t.Helper()
	if a := w.ask(methodBinding); a.code != 0 || a.silent {
		w.t.Fatalf("binding: %v", a)
	}
}

// noLimits lifts what would slow a test down that is not about limits.
func noLimits(c *Config) {
	c.Limits.Answers.PerSecond, c.Limits.AnswersTotal.PerSecond, c.Limits.AllocationRate.PerSecond = -1, -1, -1
	c.Limits.AllocationsPerUser, c.Limits.AllocationsPerAddr, c.Limits.ConnsPerAddr = -1, -1, -1
}

// testTransports runs a test over each transport, against a server of its own.
func testTransports(t *testing.T, change func(*Config), test func(t *testing.T, s *Server, over transport)) {
	for _, over := range []transport{overUDP, overTCP, overTLS} {
		t.Run(string(over), func(t *testing.T) {
			test(t, testServer(t, func(c *Config) {
				noLimits(c)
				if change != nil {
					change(c)
				}
			}), over)
		})
	}
}

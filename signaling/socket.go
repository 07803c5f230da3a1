package signaling

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	// maxOpenings is how often a client may try to open a session on one socket.
	maxOpenings = 3
	// rawFactor is how many bytes may come for each byte of messages.
	rawFactor = 4
	// messageCost is what a message costs at least, in bytes of one that is large.
	messageCost = 1 << 10
	// largeMessage is more than an offer of an ordinary call has.
	largeMessage = 14 << 10
)

// Phases of a socket.
const (
	phaseWaiting int32 = iota // for hello or resume
	phaseOpening              // it is being looked at
	phaseOpen
)

// socket is one connection of a client. Its goroutine reads, handles and, at the end,
// waits for the writer. While nothing comes there may be none; never are there two, and
// what the watcher does counts as one.
type socket struct {
	// Static after attach.
	hub  *Hub
	key  string // the address for limits
	addr netip.Addr
	t    transport
	out  outbox

	// Owned by the reading goroutine.
	req     *Request // until the session is open
	dec     protocol.Decoder
	pings   ratelimit.Bucket // ping frames
	raw     ratelimit.Bucket // bytes, headers of frames included
	light   ratelimit.Bucket // what may be sent until heavy
	heavy   bool             // its messages let others go first
	left    *peerClosed      // how the peer closed
	session *Session         // once it is open
	since   time.Duration    // hub clock: it has waited for the next message since then
	gone    bool             // reading ended

	// Safe by themselves.
	timer    timer        // the wheel's
	code     atomic.Int32 // close code, once closing
	phase    atomic.Int32
	helloDue atomic.Int64 // hub clock, like the next three
	lastIn   atomic.Int64
	lastOut  atomic.Int64
	lastPing atomic.Int64
	watched  atomic.Bool
	ended    atomic.Bool

	mu    sync.Mutex
	watch chan struct{} // closed at the next sign of life, or at the end
}

func newSocket(h *Hub, key string, req *Request) *socket {
	k := &socket{hub: h, key: key, addr: req.Addr, req: req}
	k.timer.owner = k
	now := int64(h.clock())
	k.helloDue.Store(now + int64(h.cfg.Limits.HelloTimeout))
	k.lastIn.Store(now)
	k.lastOut.Store(now)
	return k
}

func (k *socket) attach(t transport) {
	k.t = t
	k.out.t, k.out.limits, k.out.queued, k.out.flow = t, &k.hub.cfg.Limits, &k.hub.queued, k.hub.flow
}

// keep copies what a session may need of its request, so that the rest can go.
func keep(r *http.Request, addr netip.Addr, secure bool) *Request {
	h := http.Header{}
	for _, name := range []string{"Origin", "Cookie", "Authorization", "Sec-Websocket-Protocol", "User-Agent", "Accept-Language"} {
		if v := r.Header.Values(name); len(v) > 0 {
			h[name] = v
		}
	}
	return &Request{Addr: addr, Host: r.Host, Secure: secure, Header: h}
}

// run is the life of a socket until its session is open.
func (k *socket) run() {
	if k.session = k.open(); k.session != nil {
		k.idle()
		return
	}
	k.end()
}

// idle waits for what comes next: parked, or else on a goroutine of its own, as often
// as need be. What opening and handling took of stack is never given back below 4 KiB,
// and one that was not needed yet has 2 KiB.
func (k *socket) idle() {
	k.since = k.hub.clock()
	if !k.t.park() {
		go k.attend()
	}
}

// rouse implements events.
func (k *socket) rouse() {
	go func() {
		k.t.unpark()
		k.attend()
	}()
}

// stirred implements events: it handles a message that needs no goroutine, as serveOne
// does where nobody has to wait.
func (k *socket) stirred() bool {
	s := k.session
	if k.heavy || !s.acquireNow() {
		return false
	}
	if p := k.hub.keeper; p != nil && p.asleep() {
		s.release()
		return false
	}
	in := k.receive(k.hub.cfg.Limits.MessageBytes)
	if in == nil {
		s.release()
		return false
	}
	k.heavy = k.weigh(len(in.buf))
	s.handleInTurn(k, &in.msg)
	k.hub.inputs.Put(in)
	return true
}

// attend serves the session, for as long as its client is talkative.
func (k *socket) attend() {
	s := k.session
	patient, more := k.serve(s)
	if more {
		k.idle()
		return
	}
	if !patient {
		k.hub.patience.Pass()
	}
	s.lose(k)
	k.end()
}

// end is the end of a socket.
func (k *socket) end() {
	defer k.hub.leave(k)
	k.linger()
	k.ended.Store(true)
	k.wake()
	k.out.stop()
}

// input is a message being read and handled. Only sockets that have one hold it.
type input struct {
	buf []byte
	msg protocol.Message
}

// open reads until a session is open; nil if there will be none.
func (k *socket) open() *Session {
	for range maxOpenings {
		k.t.wait()
		s, ok := k.opening()
		if !ok || k.closing() {
			return nil
		}
		if s != nil {
			k.req = nil
			k.phase.Store(phaseOpen)
			k.hub.wheel.set(&k.timer, k.hub.cfg.Limits.Ping)
			return s
		}
		k.helloDue.Store(int64(k.hub.clock() + k.hub.cfg.Limits.HelloTimeout))
		k.phase.Store(phaseWaiting)
	}
	k.close(protocol.CloseProtocol, "protocol: no session after several attempts")
	return nil
}

// opening handles one message before the session is open; ok is false if none came.
func (k *socket) opening() (s *Session, ok bool) {
	in := k.receive(k.hub.cfg.Limits.HelloBytes)
	if in == nil {
		return nil, false
	}
	defer k.hub.inputs.Put(in)
	k.phase.Store(phaseOpening)
	k.hub.patience.Pass()
	ctx := newLazyContext(k.hub.ctx, k.hub.cfg.Limits.Handler)
	defer ctx.end()
	switch in.msg.Type {
	case protocol.TypeHello:
		s = k.hello(ctx, &in.msg)
	case protocol.TypeResume:
		s = k.resume(ctx, &in.msg)
	case protocol.TypeBye:
		k.close(protocol.CloseBye, "bye")
	default:
		k.close(protocol.CloseProtocol, "protocol: hello or resume must come first")
	}
	return s, true
}

// quietFor is how long a client is silent that will probably be silent again.
const quietFor = 5 * time.Second

// serve reads and handles until the socket closes, or until a client that was silent
// for long has said something: then there is more to serve. patient: it let others go
// before the end.
func (k *socket) serve(s *Session) (patient, more bool) {
	for quiet := false; !quiet; {
		patient = k.t.wait()
		quiet = k.hub.clock()-k.since > k.hub.quiet
		if patient || k.heavy {
			k.hub.patience.Pass()
		}
		if !k.serveOne(s) {
			return patient, false
		}
		k.since = k.hub.clock()
	}
	return patient, true
}

func (k *socket) serveOne(s *Session) bool {
	in := k.receive(k.hub.cfg.Limits.MessageBytes)
	if in == nil {
		return false
	}
	heavy := k.weigh(len(in.buf))
	if heavy && !k.heavy || in.msg.Type == protocol.TypeBye { // what was heavy already waited before it was read
		k.hub.patience.Pass()
	}
	k.heavy = heavy
	s.handle(k, &in.msg)
	k.hub.inputs.Put(in)
	return true
}

// weigh reports whether the client sends more than people do, a message of so many
// bytes included: within the limits, but others go first.
func (k *socket) weigh(bytes int) bool {
	rate := k.hub.cfg.Limits.Bytes
	rate.PerSecond, rate.Burst = rate.PerSecond/4, rate.Burst/8
	ok, _ := k.light.Take(time.Now(), float64(bytes+messageCost), rate)
	return !ok || bytes > largeMessage
}

// receive returns the next message, to be put back, or nil when the socket is
// closing or closed.
func (k *socket) receive(limit int) *input {
	if k.closing() {
		return nil
	}
	binary, err := k.t.next()
	if err != nil {
		k.lost(err)
		return nil
	}
	if binary {
		k.close(protocol.CloseProtocol, "protocol: binary message")
	}
	if k.closing() {
		return nil
	}
	in := k.hub.inputs.Get().(*input)
	in.buf, err = k.t.read(in.buf[:0], limit)
	switch {
	case errors.Is(err, errTooBig):
		k.close(protocol.CloseTooBig, "too big")
	case err != nil:
		k.lost(err)
	default:
		k.hub.m.bytesIn.Add(float64(len(in.buf)))
		if !k.closing() && k.decode(in) {
			return in
		}
	}
	k.hub.inputs.Put(in)
	return nil
}

// lost notes that nothing more can be read.
func (k *socket) lost(err error) {
	k.gone = true
	k.left, _ = errors.AsType[*peerClosed](err)
}

// decode reads the envelope; a client whose message is malformed is closed.
func (k *socket) decode(in *input) bool {
	var err error
	in.msg, err = k.dec.Decode(in.buf)
	if err == nil {
		k.hub.m.receivedType(in.msg.Type).Inc()
		return true
	}
	if me, ok := errors.AsType[*protocol.MalformedError](err); ok {
		k.close(protocol.CloseProtocol, "protocol: "+me.Reason)
	} else {
		k.close(protocol.CloseUTF8, "utf8")
	}
	return false
}

// close begins to close: what waits goes out (not to a slow client), then the
// close frame, and for a while the peer may answer. It does not wait.
func (k *socket) close(code protocol.CloseCode, reason string) {
	if !k.code.CompareAndSwap(0, int32(code)) {
		return
	}
	k.hub.m.closed(code, "server")
	k.out.finish(code, reason, code == protocol.CloseSlow)
	k.t.setDeadline(time.Now().Add(k.hub.cfg.Limits.CloseTime))
	if k.hub.cfg.LogAddresses {
		k.hub.log.Debug("signaling: socket closed", "code", int(code), "reason", reason, "addr", k.addr)
	} else {
		k.hub.log.Debug("signaling: socket closed", "code", int(code), "reason", reason)
	}
}

func (k *socket) closing() bool { return k.code.Load() != 0 }

// linger ends the connection in good order: it answers the peer's close frame,
// or waits for the answer to ours. Closing at once would reset the connection
// where something is unread, and the client would never see the code.
func (k *socket) linger() {
	if k.left != nil && k.code.CompareAndSwap(0, int32(max(k.left.code, protocol.CloseBye))) {
		k.hub.m.closed(k.left.code, "client")
		k.out.finish(k.left.code, "", false)
		k.t.setDeadline(time.Now().Add(k.hub.cfg.Limits.CloseTime))
	}
	for !k.gone && k.closing() {
		if _, err := k.t.next(); err != nil {
			k.lost(err)
		}
	}
	switch {
	case k.left != nil:
		k.out.wait()
	case k.code.CompareAndSwap(0, int32(protocol.CloseSilent)):
		k.hub.m.closed(1006, "network") // nobody said anything
	}
}

// send puts a frame into the outbox and tells whether the client was too slow.
func (k *socket) send(b []byte, key string) (slow bool) { return k.sendIn(nil, b, key) }

// sendIn is send in the turn of a session, nil for none.
func (k *socket) sendIn(turn *Session, b []byte, key string) (slow bool) {
	result, mine := k.out.add(b, key)
	if mine && !turn.owe(&k.out) {
		k.out.flow.add(&k.out)
	}
	switch result {
	case put:
		k.lastOut.Store(int64(k.hub.clock()))
		k.hub.m.bytesOut.Add(float64(len(b)))
	case putFull:
		return true
	}
	return false
}

// sendAway tells the client to come back and closes.
func (k *socket) sendAway(spread time.Duration) {
	if k.phase.Load() == phaseOpen {
		after := rand.N(comeBack(spread))
		k.send(textFrame(`{"t":"reconnect","d":{"after_ms":`+strconv.FormatInt(after.Milliseconds(), 10)+`}}`), "")
	}
	k.close(protocol.CloseDrain, "drain")
}

// comeBack is in what time clients come back that are sent away.
func comeBack(spread time.Duration) time.Duration {
	return max(min(spread, 5*time.Second), time.Second)
}

// heard implements events: any byte is a sign of life. What no limit of a
// session sees, such as frames without content, is bounded here.
func (k *socket) heard(n int) {
	now := time.Now()
	k.lastIn.Store(int64(now.Sub(k.hub.start)))
	if k.watched.Load() {
		k.wake()
	}
	rate := k.hub.cfg.Limits.Bytes
	rate.PerSecond, rate.Burst = rawFactor*rate.PerSecond, rawFactor*rate.Burst
	if ok, _ := k.raw.Take(now, float64(n), rate); !ok && k.t != nil {
		k.close(protocol.CloseRateLimited, k.hub.retryReason())
	}
}

// pinged implements events: it answers a ping frame, the latest of several.
func (k *socket) pinged(data string) {
	if ok, _ := k.pings.Take(time.Now(), 1, k.hub.cfg.Limits.Plain); !ok {
		k.close(protocol.CloseRateLimited, k.hub.retryReason())
		return
	}
	k.send(controlFrame(opPong, []byte(data)), "pong")
}

func (k *socket) wake() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.watched.Store(false)
	if k.watch != nil {
		close(k.watch)
		k.watch = nil
	}
}

// alive implements Session.Alive for this socket.
func (k *socket) alive(ctx context.Context, silence time.Duration) bool {
	if k.hub.clock()-time.Duration(k.lastIn.Load()) <= silence {
		return !k.closing()
	}
	k.mu.Lock()
	if k.watch == nil {
		k.watch = make(chan struct{})
	}
	watch := k.watch
	k.watched.Store(true)
	k.mu.Unlock()
	if k.ended.Load() {
		return false
	}
	k.ping()
	select {
	case <-watch:
		return !k.ended.Load() && !k.closing()
	case <-ctx.Done():
		return false
	}
}

func (k *socket) ping() {
	k.lastPing.Store(int64(k.hub.clock()))
	k.send(textFrame(`{"t":"ping"}`), "ping")
}

// due implements timed: it watches over the first message and the heartbeat.
func (k *socket) due() time.Duration {
	if k.closing() {
		return 0
	}
	now := k.hub.clock()
	switch k.phase.Load() {
	case phaseWaiting:
		wait := time.Duration(k.helloDue.Load()) - now
		if wait <= 0 {
			k.close(protocol.CloseHelloTimeout, "hello timeout")
		}
		return max(wait, 0)
	case phaseOpening:
		return k.hub.cfg.Limits.HelloTimeout
	}
	return k.heartbeat(now)
}

func (k *socket) heartbeat(now time.Duration) time.Duration {
	l := &k.hub.cfg.Limits
	in, out, pinged := time.Duration(k.lastIn.Load()), time.Duration(k.lastOut.Load()), time.Duration(k.lastPing.Load())
	dead := in + l.Ping + l.Silence
	if now >= dead {
		k.close(protocol.CloseSilent, "silent")
		return 0
	}
	ping := min(in, out) + l.Ping // either side may wonder about the other
	if pinged >= in {
		ping = max(ping, pinged+l.Ping) // it was asked and has not answered yet
	}
	if now >= ping {
		k.ping()
		ping = now + l.Ping
	}
	return min(dead, ping) - now
}

// shortReason is a close reason without what a client could not use.
func shortReason(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxCloseBytes)], "")
}

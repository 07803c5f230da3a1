package signaling

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/internal/seeded"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	resumePurpose = "resume"
	maxSnapshots  = 3
	// maxUnsaved bounds how many pushes a client may have that the store does not
	// know of.
	maxUnsaved = 1 << 20
)

var (
	errExpired = protocol.Errorf(protocol.CodeResumeExpired, "that session is gone")
	errBusy    = &protocol.Error{Code: protocol.CodeUnavailable, Msg: "the session is busy", Retry: time.Second}
)

// hello opens a new session on k; nil if that failed.
func (k *socket) hello(ctx context.Context, m *protocol.Message) *Session {
	h := k.hub
	var hello protocol.Hello
	var id Identity
	err := m.Unmarshal(&hello)
	if err == nil {
		err, _ = h.guard("identify", func() (err error) {
			id, err = h.cfg.Identify(ctx, *k.req, hello)
			return err
		})
	}
	if err != nil {
		k.fail(m, h.wireError("hello", err))
		return nil
	}
	s := &Session{hub: h, id: newSessionID(), user: id.User, login: id.Login, addr: k.addr, gen: 1, busy: true}
	s.timer.owner = s
	defer s.release()
	if !h.add(s) {
		k.fail(m, &protocol.Error{Code: protocol.CodeUnavailable, Msg: "the server is full", Retry: h.cfg.Limits.Grace})
		return nil
	}
	if h.keeper != nil {
		h.keeper.saveNow(ctx, s)
	}
	s.tell(func(o Observer) { o.Opened(s) })
	w := &protocol.Welcome{
		SID: s.id, Node: h.cfg.Node, Server: strings.TrimSuffix("rondo/"+h.cfg.Version, "/"), User: s.User(), Guest: id.GuestToken, AuthMS: id.Login.left(time.Now()),
		Resume: s.resumeInfo(), PingMS: h.cfg.Limits.Ping.Milliseconds(), Limits: h.limits(), Features: []string{}, Pools: []protocol.Pool{},
	}
	if h.cfg.Welcome != nil {
		_, _ = h.guard("welcome", func() error { h.cfg.Welcome(ctx, s, w); return nil }) // logged; the rest of it is good
	}
	h.m.connected.Inc()
	s.attach(k, k.reply(m, protocol.TypeWelcome, w), 0)
	return s
}

func (h *Hub) limits() protocol.Limits {
	l := protocol.DefaultLimits()
	l.MessageBytes = h.cfg.Limits.MessageBytes
	return l
}

// resume takes over a session; nil if that failed, and the client may say hello.
func (k *socket) resume(ctx context.Context, m *protocol.Message) *Session {
	h := k.hub
	var r protocol.Resume
	if err := m.Unmarshal(&r); err != nil {
		k.fail(m, h.wireError("resume", err))
		return nil
	}
	id, gen, ok := h.find(r.Token)
	err := errExpired
	var s *Session
	var from *Restored
	if ok {
		s, from, err = h.claim(ctx, k, id, gen)
	}
	if err != nil {
		h.m.resumes.WithLabelValues(string(err.Code)).Inc()
		k.fail(m, err)
		return nil
	}
	defer s.release()
	if err := s.admit(ctx, k, r); err != nil {
		s.turnAway(from)
		h.m.resumes.WithLabelValues(string(err.Code)).Inc()
		k.fail(m, err)
		return nil
	}
	s.resumed(ctx, k, m, r, from)
	return s
}

// admit asks whether who shows the token may have the session.
func (s *Session) admit(ctx context.Context, k *socket, r protocol.Resume) *protocol.Error {
	h := s.hub
	if h.cfg.Resume == nil {
		return nil
	}
	err, _ := h.guard("resume", func() error { return h.cfg.Resume(ctx, s, *k.req, r) })
	if err == nil {
		return nil
	}
	return h.wireError("resume", err)
}

// turnAway lets a session that was claimed wait for another socket; its token
// stays good. The caller has its turn.
func (s *Session) turnAway(from *Restored) {
	if from != nil {
		s.tell(func(o Observer) { o.Restored(s, *from) })
		s.tell(func(o Observer) { o.Away(s) })
	}
	s.mu.Lock()
	s.awayLocked()
	s.unholdLocked()
	s.mu.Unlock()
	s.hub.m.connected.Dec()
	s.changed()
}

// find returns the session that a token is for, and the token's generation.
// Whether that is still good is for the session to say.
func (h *Hub) find(token string) (protocol.SessionID, uint64, bool) {
	payload, err := h.cfg.Signer.Verify(resumePurpose, token)
	if err != nil {
		return "", 0, false
	}
	node, rest, _ := strings.Cut(string(payload), "\n")
	id, gen, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseUint(gen, 10, 64)
	ours := h.keeper != nil || protocol.NodeID(node) == h.cfg.Node
	return protocol.SessionID(id), n, err == nil && ours
}

// resumeInfo signs the token of the present generation.
func (s *Session) resumeInfo() protocol.ResumeInfo {
	s.mu.Lock()
	gen := s.gen
	s.mu.Unlock()
	payload := string(s.hub.cfg.Node) + "\n" + string(s.id) + "\n" + strconv.FormatUint(gen, 10)
	return protocol.ResumeInfo{
		Token: s.hub.cfg.Signer.Sign(resumePurpose, []byte(payload)),
		TTLMS: s.hub.cfg.Limits.Grace.Milliseconds(),
	}
}

// acceptsLocked reports whether a token of this generation is good. Tokens are
// single-use; but as long as the client has said nothing on the socket that used
// one, it may never have got the next token (that socket may be half-open for
// all we know), and its own is good still: the newest socket wins.
func (s *Session) acceptsLocked(gen uint64) bool {
	switch s.state {
	case stateOpen, stateAway:
	default:
		return false
	}
	if seeded.TokenRefused.Hit() {
		return false
	}
	return gen == s.gen || gen+1 == s.gen && !s.spoken
}

// takeOver takes the session from the socket that has it, if any, for k: when
// it returns nil, the caller has the turn, no handler runs, and pushes wait in
// the ring. errMoved: the session is at another node, or on its way there.
func (s *Session) takeOver(ctx context.Context, k *socket, gen uint64) error {
	s.mu.Lock()
	ok, old, moved := s.acceptsLocked(gen), s.sock, s.state == stateMoved
	// The turn of an earlier try with this token is not over: the client did not
	// wait for its answer, and the token will be good once more.
	again := s.state == stateOpening && (gen == s.gen || gen+1 == s.gen)
	s.mu.Unlock()
	switch {
	case moved:
		return s.awaitMove(ctx)
	case again:
		return errBusy
	case !ok:
		return errExpired
	}
	if old != nil {
		old.close(protocol.CloseReplaced, "replaced")
	}
	if s.acquire(ctx) != nil {
		return errBusy
	}
	closing := s.hub.closing()
	s.mu.Lock()
	if s.state == stateMoved {
		s.releaseLocked()
		s.mu.Unlock()
		return errMoved
	}
	if closing || !s.acceptsLocked(gen) {
		s.releaseLocked()
		s.mu.Unlock()
		return errExpired
	}
	was, late := s.state, s.sock // another one may have come while this one waited
	s.sock, s.state, s.addr = nil, stateOpening, k.addr
	s.gen = gen + 1 // the next one, also when that was issued before
	s.spoken = false
	s.mu.Unlock()
	if late != nil {
		late.close(protocol.CloseReplaced, "replaced")
	}
	s.hub.wheel.unset(&s.timer)
	if was != stateOpen {
		s.hub.m.away.Dec()
		s.hub.m.connected.Inc()
	}
	if p := s.hub.keeper; p != nil && !p.saveNow(ctx, s) { // a token is good at one node only
		s.depart("", false)
		s.release()
		return errMoved
	}
	if was == stateOpen {
		s.tell(func(o Observer) { o.Away(s) })
	}
	return nil
}

// awaitMove waits until a session that is leaving this node has left.
func (s *Session) awaitMove(ctx context.Context) error {
	if s.acquire(ctx) != nil {
		return errBusy
	}
	s.release()
	return errMoved
}

// resumed answers the resume and sends what the client missed. from is not nil
// if the session was at another node.
func (s *Session) resumed(ctx context.Context, k *socket, m *protocol.Message, r protocol.Resume, from *Restored) {
	h := s.hub
	if from == nil {
		s.tell(func(o Observer) { o.Back(s, r.Fresh) })
	} else {
		s.catchUp(r.Seq)
		from.Fresh = r.Fresh
		s.tell(func(o Observer) { o.Restored(s, *from) })
	}
	d := &protocol.Resumed{SID: s.id, Node: h.cfg.Node, Resume: s.resumeInfo(), PingMS: h.cfg.Limits.Ping.Milliseconds(), AuthMS: s.Login().left(time.Now())}
	if h.cfg.ResumedICE != nil {
		_, _ = h.guard("ice", func() error { d.ICE = h.cfg.ResumedICE(s); return nil }) // logged
	}
	result := "resumed"
	if r.Fresh {
		s.forget()
		d.State, d.Seq = s.snapshot(ctx)
		result = "fresh"
	} else if !s.replay(d, r.Seq) {
		d.Resync = true
		d.State, d.Seq = s.snapshot(ctx)
		result = "resync"
	}
	h.m.resumes.WithLabelValues(result).Inc()
	after := r.Seq
	if d.State != nil {
		after = d.Seq
	}
	s.attachResumed(k, m, d, after)
}

// catchUp continues the numbers of a session whose node died where its client
// has seen them, and makes sure that the client gets the state.
func (s *Session) catchUp(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ring.heals != math.MaxUint64 {
		return
	}
	if seq > s.seq && seq-s.seq <= maxUnsaved {
		s.seq = seq
	}
	s.seq++ // no push has this number, and so no client is at it
	s.ring.heals = s.seq
}

// forget drops what only the client's lost memory could ask for: its request
// numbers begin anew.
func (s *Session) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replies = replies{}
}

// replay prepares to send again what came after seq, if all of it is there.
func (s *Session) replay(d *protocol.Resumed, seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq > s.seq || !s.ring.canHeal(seq) {
		return false
	}
	s.ring.ack(seq)
	return true
}

// snapshot asks for the state and returns it with the number of the last push
// that it surely contains.
func (s *Session) snapshot(ctx context.Context) (*protocol.State, uint64) {
	h := s.hub
	var st *protocol.State
	var seq uint64
	for try := 1; ; try++ {
		seq = s.number()
		if h.cfg.State != nil {
			_, _ = h.guard("state", func() error { st = h.cfg.State(ctx, s); return nil }) // logged
		}
		// Pushes meanwhile: ask again rather than tell the same twice.
		if quiet, healable := s.since(seq); quiet || try >= maxSnapshots && healable || try >= 2*maxSnapshots {
			break
		}
	}
	if st == nil {
		st = &protocol.State{}
	}
	if st.User == (protocol.User{}) {
		st.User = s.User()
	}
	if st.Limits == (protocol.Limits{}) {
		st.Limits = h.limits()
	}
	return st, seq
}

// since tells whether nothing was pushed after seq, and whether what was is here.
func (s *Session) since(seq uint64) (quiet, healable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq == seq, s.ring.canHeal(seq)
}

func (s *Session) number() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq
}

// attachResumed sends resumed and what follows it, and makes k the socket.
func (s *Session) attachResumed(k *socket, m *protocol.Message, d *protocol.Resumed, from uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	frames, n := s.ring.after(from)
	if seeded.ReplaySkipped.Hit() {
		frames, n = nil, 0
	}
	d.Replayed = n
	if d.State == nil {
		d.Seq = s.seq
	}
	s.attachLocked(k, append([][]byte{k.reply(m, protocol.TypeResumed, d)}, frames...))
}

// attach makes k the session's socket; first is its first frame, before all
// pushes after seq.
func (s *Session) attach(k *socket, first []byte, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	frames, _ := s.ring.after(seq)
	s.attachLocked(k, append([][]byte{first}, frames...))
}

func (s *Session) attachLocked(k *socket, frames [][]byte) {
	s.sock, s.state = k, stateOpen
	k.out.force(frames...)
	for _, b := range frames {
		s.hub.m.bytesOut.Add(float64(len(b)))
	}
	s.unholdLocked()
}

// fail answers a hello or resume that did not succeed, and closes where trying
// again makes no sense.
func (k *socket) fail(m *protocol.Message, e *protocol.Error) {
	k.hub.m.errors.WithLabelValues(string(e.Code)).Inc()
	k.send(seal(protocol.AppendErr(newFrame(len(e.Msg)+96), m.ID, e)), "")
	switch {
	case m.Type == protocol.TypeResume && e.Code == protocol.CodeUnauthorized:
		k.close(protocol.CloseAuthExpired, "auth expired")
	case e.Code == protocol.CodeUnauthorized, e.Code == protocol.CodeForbidden:
		k.close(protocol.CloseAuth, "auth")
	}
}

// reply encodes a reply of the hub's own.
func (k *socket) reply(m *protocol.Message, t protocol.Type, d any) []byte {
	b, err := protocol.AppendOK(newFrame(2048), m.ID, t, d)
	if err != nil { // strings, numbers and slices of them do not fail
		e := k.hub.wireError(string(t), errors.Join(errors.New("signaling: reply"), err))
		return seal(protocol.AppendErr(newFrame(256), m.ID, e))
	}
	return seal(b)
}

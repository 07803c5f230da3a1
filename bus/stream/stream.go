// Package stream makes messages between two nodes arrive exactly once and in
// order over a network that loses, doubles, delays and reorders frames. It is a
// state machine without network, clock and goroutine: who drives it hands in what
// came and the time, and sends what Next returns.
//
// A Link is one node's end of the two streams between it and one other. Messages
// are numbered and kept until the other node has acknowledged them; frames in the
// other direction carry the acknowledgements, and go alone if there are none. A
// receiver takes numbers in order only, and asks again from where one is missing.
// A sender that hears nothing tries one frame now and then, and all the rest
// from there when it hears something.
//
// Epochs: a node draws a number at its start. A stream is between two epochs. Who
// hears an unknown one asks it to repeat a nonce before believing that it is the
// node of now: frames of a process that is dead can still be under way, but they
// do not answer. When another process has taken the node's place, what was meant
// for its predecessor is dropped.
package stream

import (
	"errors"
	"time"
)

// Limits bound a link. All must be set.
type Limits struct {
	Messages  int           // kept for the other node
	Bytes     int64         // of them
	Window    int           // bytes under way at a time, a bigger message alone excepted
	Frame     int           // bytes of messages a frame, likewise
	Keep      time.Duration // how long messages are kept without any sign of the other node
	AckAfter  time.Duration // an acknowledgement waits for a frame to go with
	AckBytes  int           // bytes that are acknowledged at once
	Resend    time.Duration // without an acknowledgement
	MaxResend time.Duration // it doubles up to this
}

// MaxCount is the greatest number of messages in a frame.
const MaxCount = 1024

const (
	nackAgain = 100 * time.Millisecond // between two requests for the same number, or two questions
	askTimes  = 5                      // questions to an unknown epoch, if nothing waits for it
	minHold   = 20 * time.Millisecond  // after a frame could not be sent; doubles
	maxHold   = 250 * time.Millisecond
)

// ErrFull says that too much is kept for the other node.
var ErrFull = errors.New("stream: full")

// Header is what a frame says beside its messages.
type Header struct {
	Epoch uint64 // of its sender
	To    uint64 // the epoch it is for; 0: not known
	Nonce uint64 // to be repeated; 0: none
	Echo  uint64 // a nonce repeated; 0: none
	Ack   uint64 // the number its sender expects next; 0: it knows of none
	Again bool   // that number is missing
	Base  uint64 // numbers below do not come any more
	First uint64 // number of the first message; the others follow
	Count int    // messages
}

// Frame is one to be sent. The messages must not be changed.
type Frame struct {
	Header
	Messages [][]byte
}

// Lost counts messages that were kept and then dropped.
type Lost struct {
	Expired   int // no sign of the other node for too long
	Restarted int // meant for a process that another one has replaced
}

type entry struct {
	b  []byte
	at time.Time
}

// Link is one node's end. Its methods must not be called at the same time.
type Link struct {
	limits *Limits
	self   uint64
	peer   uint64    // the other node's epoch, proven; 0: none yet
	heard  time.Time // when it was proven to live

	// To the other node: numbers from base on are kept, those below sent are
	// under way.
	kept     []entry
	base     uint64
	sent     uint64
	bytes    int64 // of kept
	flight   int   // bytes under way
	trying   bool  // one frame only, until something is heard
	resend   time.Duration
	resendAt time.Time // zero: nothing is under way
	hold     time.Duration
	heldTo   time.Time // sending failed: not before
	backAt   time.Time // of the last Again that was obeyed

	// From the other node.
	expect  uint64    // 0: whatever it begins with
	ackAt   time.Time // zero: nothing to acknowledge
	unacked int       // bytes
	gap     bool      // ask for expect
	gapOf   uint64    // what was asked for last
	gapAt   time.Time

	// Getting acquainted.
	nonce   uint64    // not yet repeated; 0: none
	nonces  uint64    // the last one
	asked   uint64    // the epoch that shall repeat it; 0: whoever is there
	askAt   time.Time // zero: not asking
	askedAt time.Time // last
	asks    int
	tell    uint64 // an epoch that waits for a frame; 0: none
	answer  uint64 // the nonce to repeat to it
	used    time.Time
	lost    Lost
	late    bool
}

// New makes a link of the node's own epoch. Numbers begin with first (not 0); a
// link that takes the place of a forgotten one must begin where that ended.
func New(limits *Limits, self, first uint64, now time.Time) *Link {
	return &Link{limits: limits, self: self, base: first, sent: first, resend: limits.Resend, used: now}
}

func (l *Link) next() uint64 { return l.base + uint64(len(l.kept)) }

// End returns the number of the next message.
func (l *Link) End() uint64 { return l.next() }

// Bytes returns how many bytes are kept.
func (l *Link) Bytes() int64 { return l.bytes }

// Oldest returns when the oldest message that is kept was pushed.
func (l *Link) Oldest() (time.Time, bool) {
	if len(l.kept) == 0 {
		return time.Time{}, false
	}
	return l.kept[0].at, true
}

// Waits reports whether something is kept for a node that has once been there, or
// is still being asked for the first time.
func (l *Link) Waits() bool { return len(l.kept) > 0 && (l.peer != 0 || l.asks < 2) }

// TakeLost returns what was dropped since the last call.
func (l *Link) TakeLost() Lost {
	lost := l.lost
	l.lost = Lost{}
	return lost
}

// TakeLate reports whether an acknowledgement became overdue since the last call.
func (l *Link) TakeLate() bool {
	late := l.late
	l.late = false
	return late
}

// Idle reports whether nothing is under way in either direction since at least d.
func (l *Link) Idle(now time.Time, d time.Duration) bool {
	return len(l.kept) == 0 && l.askAt.IsZero() && l.tell == 0 && l.ackAt.IsZero() && now.Sub(l.used) > d
}

// Push keeps a message, which must not be changed any more, until the other node
// has it.
func (l *Link) Push(msg []byte, now time.Time) error {
	l.used = now
	if len(l.kept) >= l.limits.Messages || l.bytes+int64(len(msg)) > l.limits.Bytes {
		return ErrFull
	}
	l.kept = append(l.kept, entry{msg, now})
	l.bytes += int64(len(msg))
	if l.peer == 0 && l.askAt.IsZero() {
		l.ask(0, now)
	}
	return nil
}

// Verdict says what became of a frame's messages.
type Verdict uint8

// Verdicts.
const (
	Taken    Verdict = iota // those after the skipped ones are new
	Repeated                // all were there before
	Early                   // one before them is missing: they come again
	Strange                 // not between the two epochs of now: they may come again
)

// Receive takes a frame of the other node. If it is Taken, its messages but the
// first skip are to be handled; size is what they have in bytes.
func (l *Link) Receive(h Header, size int, now time.Time) (skip int, v Verdict) {
	l.used = now
	mine := h.To == l.self
	if h.Nonce != 0 {
		l.tell, l.answer = h.Epoch, h.Nonce
		if h.Epoch == l.peer && l.sent > l.base {
			l.back(false) // it did not know us, and took nothing
		}
	}
	if mine && h.Echo != 0 && h.Echo == l.nonce {
		l.meet(h.Epoch, now)
	}
	if h.Epoch != l.peer {
		l.ask(h.Epoch, now)
		return 0, Strange
	}
	l.heard = now
	if !mine { // it takes us for a predecessor, or does not know us
		if l.tell == 0 {
			l.tell, l.answer = h.Epoch, 0
		}
		return 0, Strange
	}
	l.acknowledged(h, now)
	if h.Count == 0 {
		return 0, Taken
	}
	return l.order(h, size, now)
}

// Hello takes the news that an epoch has begun, or can hear again.
func (l *Link) Hello(epoch uint64, now time.Time) {
	l.used = now
	if epoch != l.peer {
		l.ask(epoch, now)
		return
	}
	l.heard = now
	l.Again(false)
}

// Again sends again what is not acknowledged; with try only a frame of it, until
// the other node is heard. It is called when frames may have been lost.
func (l *Link) Again(try bool) {
	l.back(try)
	l.resend = l.limits.Resend
	if !l.askAt.IsZero() {
		l.asks, l.askAt = 0, l.used
	}
}

func (l *Link) back(try bool) {
	l.sent, l.flight, l.trying, l.resendAt = l.base, 0, try, time.Time{}
}

// ask begins to ask for the other node's epoch.
func (l *Link) ask(epoch uint64, now time.Time) {
	if l.nonce == 0 {
		l.nonces = max(l.nonces+1, uint64(now.UnixNano()))
		l.nonce = l.nonces
	}
	l.asked = epoch
	if l.askAt.IsZero() {
		l.asks = 0
	}
	if soon := later(now, l.askedAt.Add(nackAgain)); l.askAt.IsZero() || soon.Before(l.askAt) {
		l.askAt = soon // it is there, so do not wait any longer
	}
}

// meet takes epoch for the other node's: it has repeated the nonce.
func (l *Link) meet(epoch uint64, now time.Time) {
	l.nonce, l.asked, l.askAt, l.heard = 0, 0, time.Time{}, now
	if epoch == l.peer {
		return
	}
	if l.peer != 0 {
		l.lost.Restarted += len(l.kept)
		l.drop(len(l.kept))
	}
	l.peer = epoch
	l.expect, l.ackAt, l.unacked, l.gap, l.gapOf = 0, time.Time{}, 0, false, 0
	l.Again(false)
}

// drop forgets the n oldest messages.
func (l *Link) drop(n int) {
	for i := range l.kept[:n] {
		size := len(l.kept[i].b)
		l.bytes -= int64(size)
		if l.base < l.sent {
			l.flight -= size
		}
		l.base++
		l.kept[i] = entry{}
	}
	l.sent = max(l.sent, l.base)
	if l.kept = l.kept[n:]; len(l.kept) == 0 {
		l.kept = nil
	}
	if l.sent == l.base {
		l.resendAt = time.Time{}
	}
}

func (l *Link) acknowledged(h Header, now time.Time) {
	if h.Ack < l.base || h.Ack > l.next() {
		return // old, or nothing that this node ever sent
	}
	if n := int(h.Ack - l.base); n > 0 {
		l.drop(n)
		l.resend, l.trying = l.limits.Resend, false
		if l.flight > 0 {
			l.resendAt = now.Add(l.resend)
		}
	}
	if h.Again && (l.backAt.IsZero() || now.Sub(l.backAt) > nackAgain/2) {
		l.backAt = now
		l.back(false)
	}
}

// order takes what follows what was taken before.
func (l *Link) order(h Header, size int, now time.Time) (skip int, v Verdict) {
	l.expect = max(l.expect, h.Base) // the beginning, or the rest was given up
	end := h.First + uint64(h.Count)
	switch {
	case h.First > l.expect:
		if l.gapOf != l.expect || now.Sub(l.gapAt) >= nackAgain {
			l.gap, l.gapOf, l.gapAt, l.ackAt = true, l.expect, now, now
		}
		return 0, Early
	case end <= l.expect:
		l.ackAt = now // the acknowledgement was lost
		return 0, Repeated
	}
	skip = int(l.expect - h.First)
	l.expect = end
	l.unacked += size
	if l.ackAt.IsZero() {
		l.ackAt = now.Add(l.limits.AckAfter)
	}
	if l.unacked >= l.limits.AckBytes {
		l.ackAt = now
	}
	return skip, Taken
}

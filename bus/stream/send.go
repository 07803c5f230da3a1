package stream

import "time"

// Next fills in the frame to be sent now and reports whether there is one. It is
// called until there is none; Sent or Failed follows when the network was asked.
func (l *Link) Next(now time.Time, f *Frame) bool {
	l.expire(now)
	if now.Before(l.heldTo) {
		return false
	}
	if !l.resendAt.IsZero() && !now.Before(l.resendAt) {
		l.back(true)
		l.late = true
		l.resend = min(2*l.resend, l.limits.MaxResend)
	}
	f.Header, f.Messages = Header{Epoch: l.self, To: l.peer}, f.Messages[:0]
	told := l.tell != 0
	if told {
		f.To, f.Echo = l.tell, l.answer
		l.tell, l.answer = 0, 0
	}
	asks := l.asking(now) && (!told || f.To != l.peer)
	if asks {
		if !told {
			f.To = l.asked
		}
		f.Nonce = l.question(now)
	}
	if l.peer == 0 || f.To != l.peer {
		return told || asks
	}
	l.fill(f, now)
	if len(f.Messages) > 0 || told || asks || !l.ackAt.IsZero() && !now.Before(l.ackAt) {
		f.Ack, f.Again = l.expect, l.gap
		l.ackAt, l.unacked, l.gap = time.Time{}, 0, false
		return true
	}
	return false
}

func (l *Link) asking(now time.Time) bool { return !l.askAt.IsZero() && !now.Before(l.askAt) }

// question returns the nonce, and says when to ask again.
func (l *Link) question(now time.Time) uint64 {
	wait := min(l.limits.Resend<<min(l.asks, 10), l.limits.MaxResend)
	l.asks++
	l.askAt, l.askedAt = now.Add(wait), now
	if l.asks >= askTimes && (l.peer != 0 || len(l.kept) == 0) {
		l.askAt = time.Time{}
	}
	return l.nonce
}

// Hurry has an acknowledgement that waits go out now.
func (l *Link) Hurry(now time.Time) {
	if !l.ackAt.IsZero() {
		l.ackAt = now
	}
}

// fill puts messages into the frame, as far as the window allows.
func (l *Link) fill(f *Frame, now time.Time) {
	if l.trying && l.flight > 0 {
		return
	}
	f.Base, f.First = l.base, l.sent
	size := 0
	for l.sent < l.next() && len(f.Messages) < MaxCount {
		b := l.kept[l.sent-l.base].b
		if size > 0 && size+len(b) > l.limits.Frame || l.flight > 0 && l.flight+len(b) > l.limits.Window {
			break
		}
		f.Messages = append(f.Messages, b)
		size += len(b)
		l.flight += len(b)
		l.sent++
	}
	if f.Count = len(f.Messages); f.Count == 0 {
		f.Base, f.First = 0, 0
	} else if l.resendAt.IsZero() {
		l.resendAt = now.Add(l.resend)
	}
}

// Sent says that the network took a frame.
func (l *Link) Sent(now time.Time) {
	l.hold = 0
	if l.flight > 0 && !l.resendAt.IsZero() {
		l.resendAt = now.Add(l.resend) // not from when it began to be sent
	}
}

// Failed says that the network may not have taken f. It is sent again soon.
func (l *Link) Failed(f *Frame, now time.Time) {
	l.back(true)
	l.hold = min(max(2*l.hold, minHold), maxHold)
	l.heldTo = now.Add(l.hold)
	if f.Echo != 0 && l.tell == 0 {
		l.tell, l.answer = f.To, f.Echo
	}
	if f.Nonce != 0 && l.nonce != 0 {
		l.asks, l.askAt = 0, now
	}
	if f.Ack != 0 {
		l.ackAt = now
		l.gap = l.gap || f.Again
	}
}

// expire drops what nobody took for too long.
func (l *Link) expire(now time.Time) {
	if now.Sub(l.heard) < l.limits.Keep {
		return
	}
	n := 0
	for n < len(l.kept) && now.Sub(l.kept[n].at) >= l.limits.Keep {
		n++
	}
	if n == 0 {
		return
	}
	l.drop(n)
	l.lost.Expired += n
}

// Due returns when Next is to be called again if nothing happens before; false:
// it need not be.
func (l *Link) Due(now time.Time) (at time.Time, ok bool) {
	add := func(t time.Time) {
		if t = later(t, l.heldTo); !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	if l.tell != 0 || l.peer != 0 && l.sent < l.next() && (l.flight == 0 || !l.trying && l.flight+len(l.kept[l.sent-l.base].b) <= l.limits.Window) {
		add(now)
	}
	for _, t := range [...]time.Time{l.askAt, l.resendAt, l.ackAt} {
		if !t.IsZero() {
			add(t)
		}
	}
	if len(l.kept) > 0 {
		add(later(l.heard, l.kept[0].at).Add(l.limits.Keep))
	}
	return at, ok
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

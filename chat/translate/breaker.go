package translate

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	failures  = 5                // in a row, until the circuit opens
	firstRest = time.Second      // for how long, doubled by each try that fails …
	longRest  = time.Minute      // … up to this
	busyRest  = 30 * time.Second // if the provider wants a rest and does not say how long
	quotaRest = 10 * time.Minute // at most, whatever the provider says: quotas are raised, too
)

// breaker keeps callers from a provider that does not work.
type breaker struct {
	mu     sync.Mutex
	failed int           // calls in a row
	until  time.Time     // closed if it is over
	rest   time.Duration // of the next opening
	trying bool          // a call finds out whether it works again
}

// open reports for how long calls are refused; 0 if they are not.
func (b *breaker) open(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.openLocked(now)
}

func (b *breaker) openLocked(now time.Time) time.Duration {
	if wait := b.until.Sub(now); wait > 0 {
		return wait
	}
	if b.trying {
		return firstRest
	}
	return 0
}

// enter is open for who calls then: after a rest one call is let through. Note must follow if it is 0.
func (b *breaker) enter(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := b.openLocked(now)
	if wait == 0 && !b.until.IsZero() {
		b.trying = true
	}
	return wait
}

// note tells how a call ended; it reports whether that opened or closed the circuit.
func (b *breaker) note(now time.Time, err error) (opened, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
	was := !b.until.IsZero()
	busy, isBusy := errors.AsType[*BusyError](err)
	switch {
	case err == nil, errors.Is(err, ErrLanguage):
		b.failed, b.rest, b.until = 0, 0, time.Time{}
		return false, was
	case errors.Is(err, context.Canceled):
		return false, false
	case isBusy:
		rest := busy.Retry
		if rest <= 0 {
			rest = busyRest
			if busy.Quota {
				rest = quotaRest
			}
		}
		b.until = now.Add(min(max(rest, firstRest), quotaRest))
		return !was, false
	}
	if b.failed++; b.failed < failures && !was {
		return false, false
	}
	b.rest = min(max(2*b.rest, firstRest), longRest)
	b.until = now.Add(b.rest)
	return !was, false
}

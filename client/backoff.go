package client

import (
	"math/rand/v2"
	"time"
)

// backoff draws the pauses between tries: full jitter under a ceiling that
// doubles from min to max (section 10).
type backoff struct {
	min, max time.Duration
	ceiling  time.Duration
}

// next returns the next pause; advice, what the server asked for, is a floor.
func (b *backoff) next(advice time.Duration) time.Duration {
	b.ceiling = min(max(2*b.ceiling, b.min), b.max)
	return advice + rand.N(b.ceiling)
}

func (b *backoff) reset() { b.ceiling = 0 }

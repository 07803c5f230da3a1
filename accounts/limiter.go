package accounts

import (
	"context"
	"net/netip"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// limiterKeys bounds the busy buckets of each rate where a node counts for itself.
const limiterKeys = 100_000

// limit takes one from the bucket, or says when there will be one. Keys hold no
// text of a client: they may stand in a store that others read.
func (a *Accounts) limit(ctx context.Context, what, who string, rate ratelimit.Rate) error {
	ok, retry, err := a.cfg.Limiter.Take(ctx, "accounts:"+what+":"+who, 1, rate)
	if err != nil {
		return err
	}
	if ok {
		return nil
	}
	a.metrics.limited(what)
	e := protocol.Errorf(protocol.CodeRateLimited, "too many attempts: wait a little")
	e.Retry = retry
	return e
}

// limitAddr is limit by address; those that are not known are one.
func (a *Accounts) limitAddr(ctx context.Context, what string, addr netip.Addr, rate ratelimit.Rate) error {
	return a.limit(ctx, what, ratelimit.AddrKey(addr), rate)
}

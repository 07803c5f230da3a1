package accounts

import (
	"context"
	"errors"
	"strings"

	"github.com/rondo-chat/rondo/protocol"
)

// Cache remembers for a short while what a handshake asks of the database. All
// nodes share it. Who finds nothing gets a lease and may fill the place with what
// the database says then; Forget takes the place and all leases of it away, so
// that what was read before a change is never kept after it. It may forget
// anything; errors are its own affair, but for Forget's.
type Cache interface {
	Get(ctx context.Context, key string) (value string, found bool, lease string)
	Put(ctx context.Context, key, lease, value string)
	Forget(ctx context.Context, key string) error
}

// noCache is the Cache of who has none.
type noCache struct{}

func (noCache) Get(context.Context, string) (string, bool, string) { return "", false, "" }
func (noCache) Put(context.Context, string, string, string)        {}
func (noCache) Forget(context.Context, string) error               { return nil }

const (
	cachedNobody = "-"
	cachedUser   = "+" // and the name
)

// Name returns the name of a user as others see it: what a handshake needs to know.
// Errors: not_found.
func (a *Accounts) Name(ctx context.Context, identity protocol.UserID) (string, error) {
	key := a.mac("cache", string(identity))
	value, found, lease := a.cfg.Cache.Get(ctx, key)
	if found {
		if name, ok := strings.CutPrefix(value, cachedUser); ok {
			return name, nil
		}
		return "", errNoUser()
	}
	u, err := a.Me(ctx, identity)
	switch {
	case lease == "":
	case err == nil:
		a.cfg.Cache.Put(ctx, key, lease, cachedUser+u.Name)
	case errors.Is(err, &protocol.Error{Code: protocol.CodeNotFound}):
		a.cfg.Cache.Put(ctx, key, lease, cachedNobody)
	}
	return u.Name, err
}

// uncache has all nodes ask the database for the user again. It is called after
// each commit by which somebody's name changes, or that they are there.
func (a *Accounts) uncache(ctx context.Context, identity protocol.UserID) {
	if err := a.cfg.Cache.Forget(context.WithoutCancel(ctx), a.mac("cache", string(identity))); err != nil {
		a.cfg.Logger.Warn("a user's old name may be seen for some seconds more", "err", err)
	}
}

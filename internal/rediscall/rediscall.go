// Package rediscall holds what all drivers over Redis do alike: keys, deadlines
// and errors.
package rediscall

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/protocol"
)

// DefaultTimeout bounds a call unless told otherwise.
const DefaultTimeout = 2 * time.Second

// Retry is what clients are told when Redis does not answer: about as long as the
// circuit breaker takes to notice that it does again. Until then an answer costs
// nothing.
const Retry = time.Second

// Config is what each driver takes. Zero fields have the defaults given.
type Config struct {
	Client  redis.UniversalClient // required; one server, Sentinel or Cluster
	Prefix  string                // of all keys; "rondo:"; without { and }
	Timeout time.Duration         // for each call, retries included; DefaultTimeout
}

// Validate fills the defaults in.
func (c *Config) Validate(pkg string) error {
	switch {
	case c.Client == nil:
		return errors.New(pkg + ": Config.Client is missing")
	case strings.ContainsAny(c.Prefix, "{}"):
		return errors.New(pkg + ": Config.Prefix must not contain { or }")
	case c.Timeout < 0:
		return errors.New(pkg + ": Config.Timeout is negative")
	}
	if c.Prefix == "" {
		c.Prefix = "rondo:"
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	return nil
}

// Deadline returns the context of one call.
func (c *Config) Deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.Timeout)
}

// Error turns an error of go-redis into unavailable, with its cause for the log.
// That a key is not there (redis.Nil) is no error.
func Error(err error) error {
	if err == nil || errors.Is(err, redis.Nil) {
		return nil
	}
	shown := &protocol.Error{Code: protocol.CodeUnavailable, Msg: "the service is unavailable for the moment", Retry: Retry}
	return fmt.Errorf("%w: redis: %w", shown, err)
}

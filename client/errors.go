package client

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/rondo-chat/rondo/protocol"
)

// Errors of the client's own. What a server refuses is a *protocol.Error.
var (
	// ErrClosed: Close was called.
	ErrClosed = errors.New("client: closed")
	// ErrSlow: the reader of Events was too slow and the queue is full.
	ErrSlow = errors.New("client: event queue full")
	// ErrSessionLost: the session ended while the socket was away; a new one
	// was opened and knows nothing of the request.
	ErrSessionLost = errors.New("client: session lost")
	// ErrBusy: too many requests wait for their answers.
	ErrBusy = errors.New("client: too many unanswered requests")
)

// errSilent ends a socket on which nothing was heard for too long.
var errSilent = errors.New("client: server silent")

// CloseError is a WebSocket close by the server (section 10).
type CloseError struct {
	Code   protocol.CloseCode
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("client: closed by server: %d %s", e.Code, e.Reason)
}

// RefusedError is an upgrade that the server answered with a plain HTTP status
// (section 1).
type RefusedError struct {
	Status int
	Code   protocol.Code // of the problem document, "" without one
	Retry  time.Duration // of Retry-After, 0 without one
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("client: upgrade refused: %d %s", e.Status, e.Code)
}

// closeError turns a read error of gorilla's into ours.
func closeError(err error) error {
	if ce, ok := errors.AsType[*websocket.CloseError](err); ok {
		return &CloseError{Code: protocol.CloseCode(ce.Code), Reason: ce.Text}
	}
	return err
}

// terminal reports whether err says not to come back.
func terminal(err error) bool {
	if ce, ok := errors.AsType[*CloseError](err); ok {
		return !ce.Code.Reconnect()
	}
	if re, ok := errors.AsType[*RefusedError](err); ok {
		return re.Status != http.StatusTooManyRequests && re.Status < 500
	}
	if pe, ok := errors.AsType[*protocol.Error](err); ok { // refused hello
		return pe.Code != protocol.CodeUnavailable && pe.Code != protocol.CodeRateLimited && pe.Code != protocol.CodeInternal
	}
	return errors.Is(err, ErrSlow) || errors.Is(err, ErrClosed)
}

// advice returns how long err asks to wait before the next try, 0 for no advice.
func advice(err error) time.Duration {
	if re, ok := errors.AsType[*RefusedError](err); ok {
		return re.Retry
	}
	if pe, ok := errors.AsType[*protocol.Error](err); ok {
		return pe.Retry
	}
	if ce, ok := errors.AsType[*CloseError](err); ok && ce.Code == protocol.CloseRateLimited {
		var ms int64
		if _, err := fmt.Sscanf(ce.Reason, "retry=%d", &ms); err == nil {
			return time.Duration(ms) * time.Millisecond
		}
	}
	return 0
}

package api

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// problem is the body of an error (RFC 9457).
type problem struct {
	Type    string        `json:"type"`
	Title   string        `json:"title"`
	Status  int           `json:"status"`
	Code    protocol.Code `json:"code"`
	Detail  string        `json:"detail"`
	RetryMS int64         `json:"retry_ms,omitempty"`
}

func problemWith(status int, e *protocol.Error) problem {
	return problem{
		Type: "urn:rondo:problem:" + string(e.Code), Title: http.StatusText(status), Status: status,
		Code: e.Code, Detail: e.Msg, RetryMS: (e.Retry + time.Millisecond - 1).Milliseconds(),
	}
}

// statusOf is the HTTP status of a code.
func statusOf(c protocol.Code) int {
	switch c {
	case protocol.CodeUnauthorized, protocol.CodeCredentials, protocol.CodeNeedsTOTP:
		return http.StatusUnauthorized
	case protocol.CodeForbidden, protocol.CodeOrigin:
		return http.StatusForbidden
	case protocol.CodeNotFound:
		return http.StatusNotFound
	case protocol.CodeAlready, protocol.CodeTaken, protocol.CodeIdempotency:
		return http.StatusConflict
	case protocol.CodeChanged:
		return http.StatusPreconditionFailed
	case protocol.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case protocol.CodeRateLimited:
		return http.StatusTooManyRequests
	case protocol.CodeUnavailable:
		return http.StatusServiceUnavailable
	case protocol.CodeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// write sends a body as JSON; nil: none. A json.RawMessage is sent as it is.
func write(w http.ResponseWriter, body any, status int) {
	h := w.Header()
	if body == nil {
		w.WriteHeader(status)
		return
	}
	b, err := json.Marshal(body)
	if err != nil { // strings, numbers and slices of them do not fail
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", "application/json")
	if p, ok := body.(problem); ok {
		h.Set("Content-Type", "application/problem+json")
		if p.RetryMS > 0 {
			h.Set("Retry-After", strconv.Itoa(int(math.Ceil(float64(p.RetryMS)/1000))))
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b) // who does not read it has gone
}

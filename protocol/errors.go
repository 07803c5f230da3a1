package protocol

import (
	"errors"
	"fmt"
	"time"
)

// Code is a stable error code (section 9).
type Code string

// Error codes.
const (
	CodeBadRequest    Code = "bad_request"
	CodeUnknownType   Code = "unknown_type"
	CodeTooLarge      Code = "too_large"
	CodeUnauthorized  Code = "unauthorized"
	CodeForbidden     Code = "forbidden"
	CodeNotFound      Code = "not_found"
	CodeStaleCall     Code = "stale_call"
	CodePeerGone      Code = "peer_gone"
	CodeRoomFull      Code = "room_full"
	CodePasscode      Code = "passcode"
	CodeAlready       Code = "already"
	CodeRateLimited   Code = "rate_limited"
	CodeResumeExpired Code = "resume_expired"
	CodeOrigin        Code = "origin"
	CodeUnavailable   Code = "unavailable"
	CodeInternal      Code = "internal"
	CodeRejected      Code = "rejected" // of conversations

	// Of accounts.
	CodeCredentials Code = "credentials"
	CodeNeedsTOTP   Code = "needs_totp"
	CodeInvalid     Code = "code_invalid"
	CodeTaken       Code = "taken"
	CodeChanged     Code = "changed"
	CodeIdempotency Code = "idempotency"
)

// Error is an error that may be shown to a client: a code, a message that is
// safe to show and, where trying again later makes sense, when. Packages return
// it where the error arises; it is mapped to the wire in one place.
type Error struct {
	Code  Code
	Msg   string
	Retry time.Duration // zero: no advice
}

// Errorf makes an Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Msg: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Msg }

// Is reports whether target is an Error with the same code, so that
// errors.Is(err, &Error{Code: c}) asks for a code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// CodeOf returns the code of err, CodeInternal for an error that carries none,
// and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// CloseCode is a WebSocket close code (section 10).
type CloseCode int

// Close codes. Below 4500 a client reconnects, from 4500 on it does not.
const (
	CloseBye          CloseCode = 1000
	CloseUTF8         CloseCode = 1007
	CloseTooBig       CloseCode = 1009
	CloseDrain        CloseCode = 4000
	CloseInternal     CloseCode = 4001
	CloseSlow         CloseCode = 4008
	CloseSilent       CloseCode = 4012
	CloseRateLimited  CloseCode = 4013
	CloseAuthExpired  CloseCode = 4014
	CloseAuth         CloseCode = 4500
	CloseProtocol     CloseCode = 4501
	CloseHelloTimeout CloseCode = 4502
	CloseBanned       CloseCode = 4503
	CloseVersion      CloseCode = 4505
	CloseReplaced     CloseCode = 4506
)

// Reconnect reports whether a client should connect again after the code.
func (c CloseCode) Reconnect() bool {
	switch c {
	case 1000, 1007, 1008, 1009:
		return false
	}
	return c < 4500
}

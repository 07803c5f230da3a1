package api

import (
	"slices"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// Route is one method of one path.
type Route struct {
	Method, Path string // the path is a pattern of http.ServeMux
	Action       auth.Action

	limit limit
	// bytes bounds the body; 0: maxBody.
	bytes int64
	// file: the body is a file, which the handler reads; bytes do not count.
	file bool
	// time bounds the request; 0: requestTime.
	time time.Duration
	// once: an Idempotency-Key is honoured. No such answer may hold a secret.
	once bool
	// again gives an answer that has a body a second time, from what answer.kept was.
	again func(c *call, kept string) (answer, error)
	// wrong is what "unauthorized" from the accounts means here: a caller whose
	// token is good has given a wrong password or code.
	wrong protocol.Code
	serve func(*call) (answer, error)
}

// Name is the route as a pattern.
func (r Route) Name() string { return r.Method + " " + r.Path }

// limit is how often one address (IPv6: /64) may ask; the accounts have limits
// of their own for guesses and mails.
type limit struct {
	name string
	rate ratelimit.Rate
}

const maxBody = 16 << 10

// Routes is the table of all that is served.
func Routes() []Route {
	read := limit{"read", ratelimit.Rate{PerSecond: 20, Burst: 200}}
	change := limit{"change", ratelimit.Rate{PerSecond: 5, Burst: 100}}
	secret := limit{"secret", ratelimit.Rate{PerSecond: 2, Burst: 100}} // costs a password's work
	signUp, account, device := auth.ActionSignUp, auth.ActionAccount, auth.ActionDevice
	const v1 = "/api/v1"
	return slices.Concat(conversationRoutes(read, change), pushRoutes(read, change), []Route{
		{Method: "POST", Path: v1 + "/auth/register", Action: signUp, limit: secret, once: true, serve: register},
		{Method: "POST", Path: v1 + "/auth/verify", Action: signUp, limit: secret, wrong: protocol.CodeInvalid, serve: verify},
		{Method: "POST", Path: v1 + "/auth/resend", Action: signUp, limit: secret, once: true, serve: resend},
		{Method: "POST", Path: v1 + "/auth/login", Action: signUp, limit: secret, wrong: protocol.CodeCredentials, serve: login},
		{Method: "POST", Path: v1 + "/auth/passkey/begin", Action: signUp, limit: change, serve: beginPasskeyLogin},
		{Method: "POST", Path: v1 + "/auth/passkey/finish", Action: signUp, limit: secret, wrong: protocol.CodeCredentials, serve: finishPasskeyLogin},
		{Method: "POST", Path: v1 + "/auth/refresh", Action: signUp, limit: read, serve: refresh},
		{Method: "POST", Path: v1 + "/auth/logout", Action: signUp, limit: change, serve: logout},
		{Method: "POST", Path: v1 + "/auth/forgot", Action: signUp, limit: secret, once: true, serve: forgot},
		{Method: "POST", Path: v1 + "/auth/reset", Action: signUp, limit: secret, wrong: protocol.CodeInvalid, serve: reset},
		{Method: "POST", Path: v1 + "/auth/password", Action: account, limit: secret, once: true, wrong: protocol.CodeCredentials, serve: changePassword},

		{Method: "GET", Path: v1 + "/me", Action: auth.ActionProfile, limit: read, serve: me},
		{Method: "PATCH", Path: v1 + "/me", Action: auth.ActionProfile, limit: change, bytes: 128 << 10, serve: updateMe},
		{Method: "DELETE", Path: v1 + "/me", Action: account, limit: secret, wrong: protocol.CodeCredentials, serve: deleteMe},
		{Method: "GET", Path: v1 + "/me/export", Action: account, limit: change, serve: exportMe},
		{Method: "POST", Path: v1 + "/me/deactivate", Action: account, limit: secret, wrong: protocol.CodeCredentials, serve: deactivateMe},

		{Method: "GET", Path: v1 + "/me/devices", Action: device, limit: read, serve: devices},
		{Method: "PATCH", Path: v1 + "/me/devices/{id}", Action: device, limit: change, serve: renameDevice},
		{Method: "DELETE", Path: v1 + "/me/devices/{id}", Action: device, limit: change, serve: revokeDevice},

		{Method: "POST", Path: v1 + "/me/totp", Action: account, limit: secret, wrong: protocol.CodeCredentials, serve: enrolTOTP},
		{Method: "DELETE", Path: v1 + "/me/totp", Action: account, limit: secret, wrong: protocol.CodeCredentials, serve: disableTOTP},
		{Method: "POST", Path: v1 + "/me/totp/confirm", Action: account, limit: secret, wrong: protocol.CodeInvalid, serve: confirmTOTP},
		{Method: "POST", Path: v1 + "/me/recovery-codes", Action: account, limit: secret, wrong: protocol.CodeCredentials, serve: newRecoveryCodes},

		{Method: "GET", Path: v1 + "/me/passkeys", Action: account, limit: read, serve: passkeys},
		{Method: "POST", Path: v1 + "/me/passkey/begin", Action: account, limit: secret, wrong: protocol.CodeCredentials, serve: beginPasskey},
		{Method: "POST", Path: v1 + "/me/passkey/finish", Action: account, limit: secret, wrong: protocol.CodeInvalid, serve: finishPasskey},
		{Method: "PATCH", Path: v1 + "/me/passkeys/{id}", Action: account, limit: change, serve: renamePasskey},
		{Method: "DELETE", Path: v1 + "/me/passkeys/{id}", Action: account, limit: change, serve: deletePasskey},

		{Method: "GET", Path: v1 + "/admin/users", Action: auth.ActionUsers, limit: read, serve: users},
		{Method: "PATCH", Path: v1 + "/admin/users/{identity}", Action: auth.ActionUser, limit: change, serve: updateUser},

		{Method: "GET", Path: v1 + "/pictures/{name}", Action: auth.ActionPublic, limit: read, serve: picture},
		{Method: "GET", Path: v1 + "/openapi.json", Action: auth.ActionPublic, limit: read, serve: openapi},
		{Method: "GET", Path: "/.well-known/jwks.json", Action: auth.ActionPublic, limit: read, serve: jwks},
	})
}

// answerTTL is how long an answer is kept for who asks again with its key.
const answerTTL = 24 * time.Hour

// Package api is the REST interface of accounts, as docs/openapi.yaml says it.
//
// What is served stands in one table ([Routes]) and nowhere else: the pattern, the
// action that auth.Allowed is asked about, the limits and the handler. A handler
// is not reached before the request was counted against its limits, its origin,
// type and size were looked at, its caller is known, and the action is allowed.
// Request bodies are read into structs that hold what may be changed and nothing
// more; an unknown key is refused.
//
// Errors are problems (RFC 9457) with the codes of package protocol.
package api

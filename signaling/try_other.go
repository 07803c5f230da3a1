//go:build !unix

package signaling

func newAttempt() *attempt { return &attempt{} }

func (t *webSocket) tries() bool { return false }

func (t *webSocket) try([]byte, *attempt) (n int, err error) { return 0, nil }

package client

import (
	"context"
	"encoding/json"
	"testing"
)

// FuzzServerMessage: nothing a server sends makes the client panic, and what is
// queued stays within its bound.
func FuzzServerMessage(f *testing.F) {
	for _, s := range []string{
		`{"t":"match.found","seq":1,"room":"k","d":{"pool":"video","you":"1","peer":{"id":"2"},"ice":{"servers":[]}}}`,
		`{"t":"chat","room":"k","d":{"off":7,"from":"2","text":"x"}}`,
		`{"t":"err","e":{"code":"stale_call"}}`, `{"t":"err","id":2}`, `{"t":"ok","id":2,"d":{"off":9,"messages":[{"off":3}],"more":true}}`,
		`{"t":"signal","seq":1,"room":"k","from":"2","kind":"offer","d":{"sdp":"x"}}`,
		`{"t":"reconnect","d":{"after_ms":1e300}}`, `{"t":"peer.left","seq":99,"d":[]}`, `{"t":"typing","d":null}`,
	} {
		f.Add([]byte(s), []byte(s))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		c := &Client{events: make(chan Event, 8), pending: map[uint32]*call{}}
		c.ctx, c.cancel = context.WithCancelCause(context.Background())
		defer c.cancel(nil)
		c.chat.enter("k", 2)
		_, _ = c.start(&call{}, &envelope{T: "stats"}, nil) // number 2 is waited for
		for _, b := range [][]byte{first, second} {
			var m envelope
			if json.Unmarshal(b, &m) != nil || m.T == "ping" {
				continue // refused before; or an answer on a socket that is not there
			}
			_ = c.handle(nil, &m) // an error breaks the socket
		}
		if len(c.chat.held) > maxHeld {
			t.Fatalf("%d messages held", len(c.chat.held))
		}
	})
}

package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/internal/turnstile"
)

// once is a listener of one connection.
type once struct {
	conn chan net.Conn
	end  chan struct{}
}

func (o *once) Accept() (net.Conn, error) {
	select {
	case c := <-o.conn:
		return c, nil
	case <-o.end:
		return nil, net.ErrClosed
	}
}
func (o *once) Close() error   { close(o.end); return nil }
func (o *once) Addr() net.Addr { return &net.TCPAddr{} }

// TestSlowRequests: a request that does not come to its end, whichever part of it is
// missing, and an answer that nobody reads hold a connection for a bounded time.
func TestSlowRequests(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nHost: x\r\n"
	for _, tc := range []struct {
		name, send string
		deaf       bool
		within     time.Duration
	}{
		{"nothing", "", false, 15 * time.Second},
		{"half of the headers", head, false, 15 * time.Second},
		{"no body", head + "Content-Length: 100\r\n\r\n", false, 15 * time.Second},
		{"deaf", head + "\r\n", true, 35 * time.Second},
		{"idle", head + "\r\n", false, 65 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &node{log: slog.New(slog.DiscardHandler)}
				s := n.newHTTP(page(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, _ = w.Write(make([]byte, 1<<20)) // the client may be gone
				}), turnstile.New()))
				ours, theirs := net.Pipe()
				l := &once{make(chan net.Conn, 1), make(chan struct{})}
				l.conn <- theirs
				go func() { _ = s.Serve(patient{l, turnstile.New()}) }()
				began := time.Now()
				if _, err := io.WriteString(ours, tc.send); err != nil {
					t.Fatal(err)
				}
				if tc.deaf {
					testenv.Elapse(tc.within)
					if err := ours.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
						t.Log(err) // closed
					}
					if _, err := ours.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
						t.Errorf("still open: %v", err)
					}
				} else if _, err := io.Copy(io.Discard, ours); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > tc.within+time.Second {
					t.Errorf("open for %v", took)
				}
				ours.Close()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

package server_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/server"
	"github.com/rondo-chat/rondo/signaling"
)

// scripted is both ends of a connection without a kernel: a client that upgrades, says
// hello and answers pings, all while the server writes.
type scripted struct {
	from net.Addr
	all  *crowd

	mu    sync.Mutex
	some  sync.Cond
	in    []byte // what the server reads next
	past  bool   // its deadline
	ended bool
}

// crowd counts what its clients saw.
type crowd struct{ in, pings atomic.Int64 }

var (
	crowdUpgrade = []byte("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: rondo.v1\r\n\r\n")
	crowdHello = frame(1, `{"t":"hello","id":1,"d":{"name":"Ann"}}`)
	crowdPong  = frame(1, `{"t":"pong"}`)
)

func newScripted(i int, all *crowd) *scripted {
	c := &scripted{from: &net.TCPAddr{IP: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i)), Port: 1}, all: all, in: crowdUpgrade}
	c.some.L = &c.mu
	return c
}

func (c *scripted) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.in) == 0 && !c.past && !c.ended {
		c.some.Wait()
	}
	switch {
	case c.ended:
		return 0, io.EOF
	case c.past:
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *scripted) Write(b []byte) (int, error) {
	switch {
	case b[0] == 0x88: // a close frame
		return len(b), c.Close()
	case bytes.HasPrefix(b, []byte("HTTP/1.1 101")):
		c.says(crowdHello)
	case bytes.Contains(b, []byte(`"t":"welcome"`)):
		c.all.in.Add(1)
	case bytes.Contains(b, []byte(`"t":"ping"`)):
		c.all.pings.Add(1)
		c.says(crowdPong)
	}
	return len(b), nil
}

func (c *scripted) says(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in = b
	c.some.Broadcast()
}

func (c *scripted) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.some.Broadcast()
	return nil
}

func (c *scripted) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.past = !t.IsZero() && !t.After(time.Now()) // one to come never comes here
	c.some.Broadcast()
	return nil
}

func (c *scripted) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *scripted) SetWriteDeadline(time.Time) error { return nil }
func (c *scripted) LocalAddr() net.Addr              { return c.from }
func (c *scripted) RemoteAddr() net.Addr             { return c.from }

// arrivals is a listener at which they arrive.
type arrivals struct {
	c    chan net.Conn
	done chan struct{}
}

func (l *arrivals) Accept() (net.Conn, error) {
	select {
	case c := <-l.c:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *arrivals) Close() error   { return nil }
func (l *arrivals) Addr() net.Addr { return &net.TCPAddr{} }

// BenchmarkIdleSessions is the whole server with sessions that do nothing but answer its
// heartbeats, without a kernel and its limit of files: what a session holds, and what part
// of a core the heartbeats of all take. A connection that is no socket has a goroutine,
// which one over TCP has not.
func BenchmarkIdleSessions(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for range b.N {
				idleSessions(b, n)
			}
		})
	}
}

func idleSessions(b *testing.B, n int) {
	const ping = 10 * time.Second // 2.5 times as often as by default
	node := nodesWith(b, 1, func(_ int, cfg *server.Config) {
		cfg.SessionStore = nil
		cfg.Sessions = signaling.Limits{Ping: ping, CloseTime: time.Millisecond}
	})[0]
	l := &arrivals{make(chan net.Conn), make(chan struct{})}
	web := &http.Server{Handler: node.Handler()}
	var serving sync.WaitGroup
	serving.Go(func() { _ = web.Serve(l) })
	b.Cleanup(func() { close(l.done); serving.Wait() })
	var all crowd
	before, began := memory(), time.Now()
	for i := range n {
		l.c <- newScripted(i, &all)
	}
	testenv.Eventually(b, time.Minute, func() bool { return all.in.Load() == int64(n) }, "all are in")
	b.ReportMetric(float64(n)/time.Since(began).Seconds(), "in/s")
	testenv.Eventually(b, time.Minute, func() bool { return all.pings.Load() >= int64(n) }, "all were pinged")
	b.ReportMetric(float64(memory()-before)/float64(n), "B/session")
	from, work := all.pings.Load(), worked(b)
	testenv.Eventually(b, time.Minute, func() bool { return all.pings.Load() >= from+int64(n) }, "all were pinged again")
	pings := float64(all.pings.Load() - from)
	each := float64((worked(b) - work).Nanoseconds()) / pings
	b.ReportMetric(each, "ns/heartbeat")
	b.ReportMetric(each*float64(n)/25e9*100, "%core") // at the default of a heartbeat in 25 s
}

// memory is what is held after a collection.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

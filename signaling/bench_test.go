package signaling

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// bare is a client that costs next to nothing: a connection and no goroutine.
type bare struct {
	net.Conn
	br *bufio.Reader
}

func dialBare(b testing.TB, addr string) *bare {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	_, err = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: "+addr+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: rondo.v1\r\n\r\n")
	if err != nil {
		b.Fatal(err)
	}
	br := bufio.NewReaderSize(c, 512)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		b.Fatal(resp, err)
	}
	return &bare{c, br}
}

func (c *bare) send(b testing.TB, frame []byte) {
	if _, err := c.Write(frame); err != nil {
		b.Fatal(err)
	}
}

// skip reads one frame and returns the length of its payload.
func (c *bare) skip(b testing.TB) int {
	h, err := c.br.Peek(2)
	if err != nil {
		b.Fatal(err)
	}
	n, head := int(h[1]), 2
	if n == 126 {
		if h, err = c.br.Peek(4); err != nil {
			b.Fatal(err)
		}
		n, head = int(h[2])<<8|int(h[3]), 4
	}
	if _, err := c.br.Discard(head + n); err != nil {
		b.Fatal(err)
	}
	return n
}

func benchHub(b *testing.B, handlers map[protocol.Type]Handler) (*Hub, string) {
	b.Helper()
	signer, err := auth.NewSigner([]byte(strings.Repeat("s", 32)))
	if err != nil {
		b.Fatal(err)
	}
	unlimited := ratelimit.Rate{PerSecond: -1}
	h, err := New(Config{
		Node: "n", Signer: signer, Handlers: handlers,
		Identify: func(context.Context, Request, protocol.Hello) (Identity, error) { return Identity{}, nil },
		Limits:   Limits{Bytes: unlimited, Upgrades: unlimited, PerAddress: -1, CloseTime: 10 * time.Millisecond},
	})
	if err != nil {
		b.Fatal(err)
	}
	srv := httptest.NewServer(h)
	b.Cleanup(func() { _ = h.Close(); srv.Close() })
	return h, strings.TrimPrefix(srv.URL, "http://")
}

var helloFrame = rawFrame(0x81, []byte(`{"t":"hello","id":1,"d":{"name":"Ann"}}`))

// BenchmarkRelay sends a message to the server and takes it from there to the
// other client, one in flight.
func BenchmarkRelay(b *testing.B) {
	for _, size := range []int{500, 12_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			var to *Session
			hub, addr := benchHub(b, map[protocol.Type]Handler{
				"signal": {Serve: func(_ context.Context, _ *Session, m *protocol.Message) (any, error) {
					to.Push(Push{Type: m.Type, Room: m.Room, From: "1", Kind: m.Kind, D: m.D})
					return nil, nil
				}},
			})
			from, dst := dialBare(b, addr), dialBare(b, addr)
			dst.send(b, helloFrame)
			dst.skip(b)
			to = hub.all()[0]
			from.send(b, helloFrame)
			from.skip(b)
			frame := rawFrame(0x81, []byte(`{"t":"signal","room":"k3k3k3k3k3k3k3k3k3k3","kind":"offer","d":{"sdp":"`+strings.Repeat("x", size)+`"}}`))
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				from.send(b, frame)
				dst.skip(b)
				if n%32 == 31 {
					to.mu.Lock()
					to.ring.ack(to.seq)
					to.mu.Unlock()
				}
			}
		})
	}
}

// BenchmarkFanOut sends one prepared frame to a room of 100.
func BenchmarkFanOut(b *testing.B) {
	const members = 100
	hub, addr := benchHub(b, nil)
	var clients []*bare
	for range members {
		c := dialBare(b, addr)
		c.send(b, helloFrame)
		c.skip(b)
		clients = append(clients, c)
	}
	all := hub.all()
	d := []byte(`{"text":"` + strings.Repeat("x", 200) + `"}`)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		f := Prepare(Push{Type: "chat", Room: "r", Class: Ordered, D: d})
		for _, s := range all {
			s.PushFrame(f)
		}
		for _, c := range clients {
			c.skip(b)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/members, "ns/delivery")
}

// BenchmarkIdleSession measures the memory of a session that does nothing, the
// client's connection included, which is a few hundred bytes.
func BenchmarkIdleSession(b *testing.B) {
	_, addr := benchHub(b, nil)
	const n = 2000
	memory := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	for range b.N {
		before := memory()
		clients := make([]net.Conn, 0, n)
		for range n {
			c := dialBare(b, addr)
			c.send(b, helloFrame)
			c.skip(b)
			c.br = nil
			clients = append(clients, c.Conn)
		}
		b.ReportMetric(float64(memory()-before)/n, "B/session")
		runtime.KeepAlive(clients)
	}
}

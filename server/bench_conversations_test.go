package server_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/server"
)

// BenchmarkTopicFanOut: a message that is sent to a topic until all who have it open got it; beside a frame of the same size that
// a bare server writes to as many sockets. Shown are medians, and the work of all cores for each who got it, clients
// included on both sides. Both ends of all sockets are in this process: 9,000 are what 20,000 open files allow.
func BenchmarkTopicFanOut(b *testing.B) {
	for _, n := range []int{0, 10, 100, 1_000, 3_000, 9_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			bareTime, bareWork := broadcastBare(b, n)
			took, work := broadcastTopic(b, n)
			b.ReportMetric(bareTime, "µs/bare")
			b.ReportMetric(took, "µs/message")
			if n > 0 {
				b.ReportMetric(bareWork/float64(n), "cpu-µs/bare-delivery")
				b.ReportMetric(work/float64(n), "cpu-µs/delivery")
			}
		})
	}
}

const broadcasts = 30

// rounds sends so many times, and returns the median of time and the mean of work, in microseconds.
func rounds(b *testing.B, all *audience, n int, send func(i int) error) (took, work float64) {
	b.Helper()
	var times []time.Duration
	before := worked(b)
	for i := range broadcasts {
		all.Add(n)
		began := time.Now()
		if err := send(i); err != nil {
			b.Fatal(err)
		}
		all.Wait()
		times = append(times, time.Since(began))
	}
	work = float64((worked(b) - before).Microseconds()) / broadcasts
	slices.Sort(times)
	return float64(times[len(times)/2].Microseconds()), work
}

func broadcastBare(b *testing.B, n int) (took, work float64) {
	hub := &testenv.BareBroadcast{}
	web := httptest.NewServer(hub)
	defer web.Close()
	all := &audience{mark: []byte(`"conv.event"`)}
	defer all.leave()
	for range n {
		all.come(b, strings.TrimPrefix(web.URL, "http://"), "")
	}
	testenv.Eventually(b, time.Minute, func() bool { return hub.Clients() == n }, "all are there")
	text := []byte(`{"t":"conv.event","d":"` + strings.Repeat("x", 380) + `"}`)
	return rounds(b, all, n, func(int) error { return hub.Send(text) })
}

func broadcastTopic(b *testing.B, n int) (took, work float64) {
	w := newTalkingTown(b, 1, func(_ int, cfg *server.Config) {
		cfg.Conversations.Limits.Send = ratelimit.Rate{PerSecond: -1}
	})
	c := w.nodes[0].Conversations()
	ann := conversations.Caller{Principal: auth.Principal{Identity: "u_ann", Session: "s", Roles: []auth.Role{auth.RoleUser}}, Name: "Ann"}
	e, err := c.Create(b.Context(), ann, protocol.ConvCreate{Kind: protocol.ConvTopic, Name: "Topic", Writers: protocol.WriteEveryone})
	if err != nil {
		b.Fatal(err)
	}
	all := &audience{mark: []byte(`"conv.event"`)}
	defer all.leave()
	for range n {
		all.come(b, strings.TrimPrefix(w.nodes[0].web.URL, "http://"), `{"t":"conv.open","id":2,"room":"`+string(e.ID)+`","d":{"limit":1}}`)
	}
	return rounds(b, all, n, func(i int) error {
		_, err := c.Send(b.Context(), ann, e.ID, protocol.ConvSend{CID: fmt.Sprint(i), Text: strings.Repeat("x", 100)})
		return err
	})
}

// audience is clients that read what comes, and count what has the mark.
type audience struct {
	sync.WaitGroup // those who have not got the message yet
	mark           []byte

	conns   []net.Conn
	reading sync.WaitGroup
}

func (a *audience) leave() {
	for _, c := range a.conns {
		_ = c.Close()
	}
	a.reading.Wait()
}

// come opens a WebSocket, says hello and then, if it is not "", says more, and waits for the answers.
func (a *audience) come(b *testing.B, addr, more string) {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	a.conns = append(a.conns, c)
	_, err = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: "+addr+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: rondo.v1\r\n\r\n")
	if err != nil {
		b.Fatal(err)
	}
	in := bufio.NewReaderSize(c, 1024)
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		b.Fatal(resp, err)
	}
	for _, text := range []string{`{"t":"hello","id":1,"d":{"name":"Guest"}}`, more} {
		if text == "" {
			continue
		}
		if err := say(c, 1, []byte(text)); err != nil {
			b.Fatal(err)
		}
		for id := text[strings.Index(text, `"id"`):][:6]; ; {
			kind, got, err := hear(in)
			if err != nil || bytes.Contains(got, []byte(`"error"`)) {
				b.Fatal(kind, string(got), err)
			}
			if more == "" || bytes.Contains(got, []byte(id)) { // the bare server knows no ids
				break
			}
		}
	}
	_ = c.SetReadDeadline(time.Time{})
	a.reading.Go(func() { a.read(c, in) })
}

func (a *audience) read(c net.Conn, in *bufio.Reader) {
	for {
		kind, got, err := hear(in)
		if err != nil {
			return
		}
		if kind == 9 {
			err = say(c, 10, got)
		}
		if err == nil && bytes.Contains(got, a.mark) {
			a.Done()
		}
	}
}

// say writes a frame that is masked with zeros.
func say(c net.Conn, kind byte, text []byte) error {
	f := []byte{0x80 | kind, 0x80 | byte(len(text))}
	if len(text) > 125 {
		f = binary.BigEndian.AppendUint16([]byte{0x80 | kind, 0x80 | 126}, uint16(len(text)))
	}
	_, err := c.Write(append(append(f, 0, 0, 0, 0), text...))
	return err
}

// hear reads a frame.
func hear(in *bufio.Reader) (kind byte, text []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	size := uint16(head[1])
	if size == 126 {
		if err := binary.Read(in, binary.BigEndian, &size); err != nil {
			return 0, nil, err
		}
	}
	text = make([]byte, size)
	_, err = io.ReadFull(in, text)
	return head[0] & 15, text, err
}

package server_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/server"
)

// frame is a frame as a client sends it, masked with zeros.
func frame(kind byte, payload string) []byte {
	f := []byte{0x80 | kind, 0x80 | byte(len(payload))}
	return append(append(f, 0, 0, 0, 0), payload...)
}

// shakeHands opens a WebSocket, says hello, reads the answer and goes. It returns
// what it read.
func shakeHands(addr, token string) (string, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_, err = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: "+addr+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer "+token+"\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: rondo.v1\r\n\r\n")
	if err != nil {
		return "", err
	}
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return "", fmt.Errorf("%v, %w", resp, err)
	}
	if _, err := c.Write(frame(1, `{"t":"hello","id":1,"d":{"name":"Ann"}}`)); err != nil {
		return "", err
	}
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return "", err
	}
	size := uint16(head[1])
	if size == 126 {
		if err := binary.Read(in, binary.BigEndian, &size); err != nil {
			return "", err
		}
	}
	answer := make([]byte, size)
	if _, err := io.ReadFull(in, answer); err != nil {
		return "", err
	}
	_, err = c.Write(frame(8, "\x03\xe8bye"))
	return string(answer), err
}

// inTurns runs both sides in batches of n, one after the other, each with so many
// callers at once, and reports how many a second each does, and the median ratios of
// the times and of the work of the cores, clients included.
func inTurns(b *testing.B, n, callers int, what string, bare, whole func(i int) error) {
	batch := func(f func(i int) error) (took, work time.Duration) {
		began, before := time.Now(), worked(b)
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				for i := caller; i < n; i += callers {
					if err := f(i); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		return time.Since(began), worked(b) - before
	}
	var took [2]time.Duration
	var times, work []float64
	for b.Loop() {
		one, oneWork := batch(bare)
		other, otherWork := batch(whole)
		took[0], took[1] = took[0]+one, took[1]+other
		times, work = append(times, other.Seconds()/one.Seconds()), append(work, otherWork.Seconds()/oneWork.Seconds())
	}
	slices.Sort(times)
	slices.Sort(work)
	b.ReportMetric(float64(b.N*n)/took[0].Seconds(), "bare-"+what+"/s")
	b.ReportMetric(float64(b.N*n)/took[1].Seconds(), what+"/s")
	b.ReportMetric(times[len(times)/2], "time-ratio")
	b.ReportMetric(work[len(work)/2], "cpu-ratio")
}

// worked is how long this process has kept cores busy.
func worked(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHandshakes: a new connection, the upgrade, a hello of somebody with an
// access token, the welcome; beside a bare upgrade with messages of the same size.
// Clients are in this process, on both sides.
func BenchmarkHandshakes(b *testing.B) {
	w := newTown(b, 1, nil)
	token := w.register(0, "annie", "").AccessToken
	addr := strings.TrimPrefix(w.nodes[0].web.URL, "http://")
	welcome, err := shakeHands(addr, token)
	if err != nil || !strings.Contains(welcome, `"ANNIE"`) {
		b.Fatalf("%s, %v", welcome, err)
	}
	bare := httptest.NewServer(testenv.BareWebSocket([]byte(welcome)))
	defer bare.Close()
	shake := func(addr string) func(int) error {
		return func(int) error {
			_, err := shakeHands(addr, token)
			return err
		}
	}
	inTurns(b, 200, 4*runtime.GOMAXPROCS(0), "handshakes", shake(strings.TrimPrefix(bare.URL, "http://")), shake(addr))
}

// unlimited is a limiter that never says no.
type unlimited struct{}

func (unlimited) Take(context.Context, string, float64, ratelimit.Rate) (bool, time.Duration, error) {
	return true, 0, nil
}

// BenchmarkLogins: log-ins over HTTP, of several accounts at once, beside the bare
// computation of their password hashes.
func BenchmarkLogins(b *testing.B) {
	const people = 8
	w := newTown(b, 1, func(_ int, cfg *server.Config) {
		cfg.Accounts.Limiter, cfg.Accounts.Limits = unlimited{}, accounts.Limits{Devices: 10}
	})
	var devices []string
	for i := range people {
		devices = append(devices, w.register(0, fmt.Sprint("person", i), "").DeviceToken)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: people}}
	defer client.CloseIdleConnections()
	login := func(i int) error {
		in := map[string]any{"login": fmt.Sprint("person", i%people), "password": secretWords, "bearer": true, "device_token": devices[i%people]}
		if status := w.send(client, 0, "POST", "/api/v1/auth/login", "", in, &account{}); status != http.StatusOK {
			return fmt.Errorf("login: %d", status)
		}
		return nil
	}
	salt := make([]byte, 16)
	hash := func(int) error {
		argon2.IDKey([]byte(secretWords), salt, 2, 19456, 1, 32)
		return nil
	}
	cores := runtime.GOMAXPROCS(0)
	inTurns(b, 8*cores, 2*cores, "logins", hash, login)
}

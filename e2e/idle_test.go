package e2e_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/client/bench"
	"github.com/rondo-chat/rondo/client/bench/wire"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// idlers are clients that say hello, answer pings and nothing else.
type idlers struct {
	conns   []*wire.Conn
	took    []time.Duration // from when each was due until its welcome
	refused atomic.Int64
	pings   atomic.Int64
	reading sync.WaitGroup
}

func (c *idlers) close() {
	for _, k := range c.conns {
		if k != nil {
			k.Close()
		}
	}
	c.reading.Wait()
}

// arrive lets n clients come, so many each second, whether those before them are in or not.
// Ten at a time share an address, as the limits of an address allow.
func (c *idlers) arrive(ctx context.Context, n *lab.Node, from, count int, rate float64) {
	c.conns = append(c.conns, make([]*wire.Conn, count)...)
	c.took = make([]time.Duration, count)
	var all sync.WaitGroup
	began := time.Now()
	for i := range count {
		due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if d := time.Until(due); d > 0 {
			<-time.After(d)
		}
		all.Go(func() {
			k, err := c.enter(ctx, n, (from+i)/10)
			if err != nil {
				c.refused.Add(1)
				return
			}
			c.conns[from+i], c.took[i] = k, time.Since(due)
			c.reading.Go(func() { c.answer(k) })
		})
	}
	all.Wait()
}

func (c *idlers) enter(ctx context.Context, n *lab.Node, from int) (*wire.Conn, error) {
	k, err := wire.DialWebSocket(ctx, n.WS(), protocol.Subprotocol, from, nil)
	if err != nil {
		return nil, err
	}
	if _, err = k.Conn.Write(k.Append(nil, []byte(`{"t":"hello","id":1,"d":{"name":"Ann"}}`))); err == nil {
		var b []byte
		if b, err = frameOf(k); err == nil && !bytes.Contains(b, []byte(`"t":"welcome"`)) {
			err = fmt.Errorf("%s", b)
		}
	}
	if err != nil {
		k.Close()
	}
	return k, err
}

// frameOf reads a frame of less than 64 KiB, without a buffer that would stay.
func frameOf(k *wire.Conn) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(k.Conn, head[:]); err != nil {
		return nil, err
	}
	n := int(head[1])
	if n == 126 {
		var size [2]byte
		if _, err := io.ReadFull(k.Conn, size[:]); err != nil {
			return nil, err
		}
		n = int(binary.BigEndian.Uint16(size[:]))
	}
	b := make([]byte, n)
	_, err := io.ReadFull(k.Conn, b)
	return b, err
}

func (c *idlers) answer(k *wire.Conn) {
	pong := k.Append(nil, []byte(`{"t":"pong"}`))
	for {
		b, err := frameOf(k)
		if err != nil {
			return
		}
		if bytes.Contains(b, []byte(`"t":"ping"`)) {
			c.pings.Add(1)
			if _, err := k.Conn.Write(pong); err != nil {
				return
			}
		}
	}
}

// number returns a metric of a node.
func number(t *testing.T, n *lab.Node, name string) int {
	t.Helper()
	for line := range strings.Lines(n.MetricsText(t)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(f)
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestIdleSessions: of a storm of 2,000 a second nobody is refused, and those who came cost no
// goroutine, also while they answer heartbeats. RONDO_LOAD=1 lets a tenth come, then as many as
// this machine has files for, up to 100,000, and shows what they cost.
func TestIdleSessions(t *testing.T) {
	steps, args := []int{200, 1000}, []string{"--ping", "1s", "--log-level", "info"}
	load := os.Getenv("RONDO_LOAD") != ""
	if load {
		var files syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
			t.Fatal(err)
		}
		most := min(100_000, int(files.Cur)*9/10)
		steps, args = []int{most / 10, most}, []string{"--log-level", "info"}
	}
	n := lab.Start(t, lab.Options{Args: args})
	c := &idlers{}
	defer c.close()
	rss, err := bench.RSS(n.PID())
	if err != nil {
		t.Fatal(err)
	}
	goroutines := number(t, n, "go_goroutines")
	from, empty := 0, rss
	for _, to := range steps {
		c.arrive(t.Context(), n, from, to-from, 2000)
		slices.Sort(c.took)
		at := func(q float64) time.Duration {
			return c.took[int(q*float64(len(c.took)-1))].Round(10 * time.Microsecond)
		}
		t.Logf("%d came, 2,000 a second: in after p50 %v, p99 %v, max %v", to-from, at(.5), at(.99), at(1))
		if r := c.refused.Load(); r > 0 {
			t.Fatalf("%d of %d were refused", r, to)
		}
		if got := number(t, n, `rondo_ws_sessions{state="connected"}`); got != to {
			t.Errorf("%d sessions, want %d", got, to)
		}
		c.heartbeats(t, n, to, goroutines)
		rss, err := bench.RSS(n.PID())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d sessions: RSS %.2f KiB each", to, float64(rss-empty)/1024/float64(to))
		from = to
	}
}

// heartbeats waits until everybody was asked once more, and shows what that costs.
func (c *idlers) heartbeats(t *testing.T, n *lab.Node, sessions, goroutines int) {
	t.Helper()
	asked, began := c.pings.Load(), time.Now()
	cpu, err := bench.CPU(n.PID())
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, time.Minute, func() bool { return c.pings.Load() >= asked+int64(sessions) }, "all are asked")
	after, err := bench.CPU(n.PID())
	if err != nil {
		t.Fatal(err)
	}
	took, pings := time.Since(began), float64(c.pings.Load()-asked)
	t.Logf("%d sessions: %.2f %% of a core, %.1f µs for each heartbeat", sessions, 100*(after-cpu).Seconds()/took.Seconds(), float64((after-cpu).Microseconds())/pings)
	testenv.Eventually(t, 10*time.Second, func() bool { return number(t, n, "go_goroutines") < goroutines+sessions/10+30 }, "idle sessions have no goroutine")
}

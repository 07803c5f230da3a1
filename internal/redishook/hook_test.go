package redishook

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHook(t *testing.T) {
	server := testenv.Redis(t)
	reg := prometheus.NewPedanticRegistry()
	client := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1})
	defer client.Close()
	h := Attach(client, reg)
	ctx := t.Context()

	client.Set(ctx, "k", "v", 0)
	client.Get(ctx, "k")
	client.Get(ctx, "not there")
	client.Publish(ctx, "c", "m")
	client.Incr(ctx, "k")
	redis.NewScript("return 1").Run(ctx, client, nil)
	client.Do(ctx, "nonsense")
	p := client.Pipeline()
	p.Get(ctx, "k")
	p.Get(ctx, "k")
	_, _ = p.Exec(ctx)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	client.Get(ended, "k")
	server.Kill()
	if err := client.Get(ctx, "k").Err(); err == nil {
		t.Fatal("a killed server answers")
	}

	for labels, want := range map[[2]string]float64{
		{"write", "server"}: 1, {"other", "server"}: 1, {"script", "script"}: 1, {"read", "canceled"}: 1, {"read", "network"}: 1, {"read", "server"}: 0,
	} {
		if got := testutil.ToFloat64(h.errors.WithLabelValues(labels[0], labels[1])); got != want {
			t.Errorf("errors %v: %v, want %v", labels, got, want)
		}
	}
	if n := testutil.CollectAndCount(h.seconds); n != 6 {
		t.Errorf("%d classes were measured, want 6", n)
	}
	if got := testutil.ToFloat64(h.dials.WithLabelValues("ok")); got < 1 {
		t.Errorf("%v dials", got)
	}
	if got := testutil.ToFloat64(h.dials.WithLabelValues("error")); got < 1 {
		t.Errorf("%v failed dials after the server was killed", got)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "rondo_redis_") {
			t.Errorf("metric %s", f.GetName())
		}
	}
	Attach(client, nil) // not registered: fine
}

func TestKinds(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{redis.Nil, ""},
		{context.Canceled, "canceled"},
		{context.DeadlineExceeded, "timeout"},
		{os.ErrDeadlineExceeded, "timeout"},
		{redis.ErrPoolTimeout, "pool"},
		{io.EOF, "network"},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, "network"},
	} {
		if got := kindOf(test.err); got != test.want {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
	for msg, want := range map[string]string{
		"MOVED 1 a:1": "moved", "ASK 1 a:1": "moved", "LOADING x": "unready", "READONLY x": "unready", "CLUSTERDOWN x": "unready",
		"NOSCRIPT x": "script", "ERR x": "server", "": "server",
	} {
		if got := serverKind(msg); got != want {
			t.Errorf("%s: %s, want %s", msg, got, want)
		}
	}
}

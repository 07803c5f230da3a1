package webhook_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/events/eventstest"
	"github.com/rondo-chat/rondo/events/webhook"
	"github.com/rondo-chat/rondo/internal/outbound"
	"github.com/rondo-chat/rondo/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink returns a webhook that may reach this machine.
func sink(t testing.TB, url string, allow ...string) events.Sink {
	t.Helper()
	d := eventstest.Way(t, allow...)
	s, err := webhook.New(webhook.Config{URL: url, Signer: eventstest.Signer(t), Client: d.Client(), Timeout: 150 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// receiver takes events as a webhook's receiver does.
func receiver(got *eventstest.Got) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		got.Take(r.Header.Get, body)
		w.WriteHeader(http.StatusNoContent)
	}
}

// TestHalfFails: a receiver that fails half the time, in every way, gets all events in order.
func TestHalfFails(t *testing.T) {
	got, random := &eventstest.Got{}, rand.New(rand.NewPCG(1, 2))
	take := receiver(got)
	var failures atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if random.IntN(2) == 0 { // requests come one by one
			take(w, r)
			return
		}
		failures.Add(1)
		fail(w, r, random.IntN(7), take)
	}))
	defer server.Close()
	log := eventstest.NewLog()
	for i := range 120 {
		log.Say(eventstest.Room(i%5), "x")
	}
	d, err := events.New(events.Config{
		Log: log.Node("a"), Sinks: []events.Subscription{{Name: "out", Sink: sink(t, server.URL, "127.0.0.1")}},
		Poll: 5 * time.Millisecond, MinPause: 2 * time.Millisecond, MaxPause: 20 * time.Millisecond, Tries: 1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Start()
	testenv.Eventually(t, 60*time.Second, func() bool { return log.At("out").Pos == log.Head() }, "all events come")
	d.Close()
	got.Check(t, log.Head())
	if failures.Load() < 60 {
		t.Errorf("only %d failures", failures.Load())
	}
}

// fail is one of seven ways to fail; in some the event came.
func fail(w http.ResponseWriter, r *http.Request, way int, take http.HandlerFunc) {
	switch way {
	case 0:
		w.WriteHeader(http.StatusInternalServerError)
	case 1:
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
	case 2:
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	case 3: // cut before the answer
		hangUp(w)
	case 4: // cut after it was taken
		take(httptest.NewRecorder(), r)
		hangUp(w)
	case 5: // taken, but the answer comes too late
		take(httptest.NewRecorder(), r)
		<-r.Context().Done()
	case 6: // not now
		w.WriteHeader(http.StatusBadRequest)
	}
}

func hangUp(w http.ResponseWriter) {
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		c.Close()
	}
}

// TestOutage: the receiver is away for a while.
func TestOutage(t *testing.T) {
	got := &eventstest.Got{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	server := &http.Server{Handler: receiver(got)}
	serve := func(l net.Listener) {
		s := server
		go func() { _ = s.Serve(l) }()
	}
	serve(l)
	t.Cleanup(func() { server.Close() })
	eventstest.Outage{
		Sink: func(t testing.TB) events.Sink { return sink(t, "http://"+addr+"/hook", "127.0.0.1") },
		Stop: func() { server.Close() },
		Start: func() {
			testenv.Eventually(t, 5*time.Second, func() bool { l, err = net.Listen("tcp", addr); return err == nil }, "the port is free")
			server = &http.Server{Handler: receiver(got)}
			serve(l)
		},
		Got: got,
	}.Run(t)
}

// TestAnswers: what each answer means.
func TestAnswers(t *testing.T) {
	var code atomic.Int64
	var after atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if s, _ := after.Load().(string); s != "" {
			w.Header().Set("Retry-After", s)
		}
		w.WriteHeader(int(code.Load()))
		_, _ = io.WriteString(w, strings.Repeat("x", 100))
	}))
	defer server.Close()
	s := sink(t, server.URL, "127.0.0.1")
	one := []events.Event{{ID: "c_1:1", Body: []byte("{}")}}
	for _, c := range []struct {
		code    int
		after   string
		n       int
		refused bool
		later   time.Duration
	}{
		{200, "", 1, false, 0},
		{202, "", 1, false, 0},
		{301, "", 0, false, 0},
		{400, "", 0, true, 0},
		{401, "", 0, false, 0},
		{404, "", 0, false, 0},
		{410, "", 0, true, 0},
		{413, "", 0, true, 0},
		{422, "", 0, true, 0},
		{429, "7", 0, false, 7 * time.Second},
		{503, "99999999", 0, false, 24 * time.Hour},
		{503, "-1", 0, false, 0},
		{503, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), 0, false, time.Hour},
	} {
		code.Store(int64(c.code))
		after.Store(c.after)
		n, err := s.Deliver(t.Context(), one)
		_, refused := errors.AsType[*events.Refused](err)
		later, ok := errors.AsType[*events.Later](err)
		if n != c.n || refused != c.refused || (err == nil) != (n == 1) || ok && (later.After > c.later || later.After < c.later-5*time.Second) {
			t.Errorf("%d, Retry-After %q: %d, %v", c.code, c.after, n, err)
		}
	}
}

// TestNoWayInside: neither an address inside nor a redirect or a name that leads there is reached.
func TestNoWayInside(t *testing.T) {
	var hits atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer inside.Close()
	port := netip.MustParseAddrPort(inside.Listener.Addr().String()).Port()
	_, text, _ := strings.Cut(inside.Listener.Addr().String(), ":")
	one := []events.Event{{ID: "c_1:1", Body: []byte("{}")}}
	for _, url := range []string{
		inside.URL, "http://localhost:" + text, "http://[::1]:" + text, "http://[::ffff:127.0.0.1]:" + text, "http://0.0.0.0:" + text,
		"http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/latest/meta-data/", "http://10.0.0.1/", "http://192.168.1.1/",
		"http://100.64.0.1/",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		n, err := sink(t, url).Deliver(ctx, one)
		cancel()
		if n != 0 || !errors.Is(err, outbound.ErrRefused) {
			t.Errorf("%s: %d, %v", url, n, err)
		}
	}
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/", http.StatusPermanentRedirect)
	}))
	defer outside.Close()
	if n, err := sink(t, outside.URL, "127.0.0.1").Deliver(t.Context(), one); n != 0 || err == nil || !strings.Contains(err.Error(), "308") {
		t.Errorf("a redirect inside: %d, %v", n, err)
	}
	if hits.Load() != 0 || port == 0 {
		t.Fatalf("the server inside was reached %d times", hits.Load())
	}
	if n, err := sink(t, inside.URL, "127.0.0.1").Deliver(t.Context(), one); n != 1 || err != nil {
		t.Errorf("allowed: %d, %v", n, err)
	}
}

func TestConfig(t *testing.T) {
	signer, client := eventstest.Signer(t), &http.Client{}
	for _, c := range []webhook.Config{
		{}, {URL: "ftp://example.org", Signer: signer, Client: client}, {URL: "https://", Signer: signer, Client: client},
		{URL: "https://example.org", Client: client}, {URL: "https://example.org", Signer: signer},
	} {
		if _, err := webhook.New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

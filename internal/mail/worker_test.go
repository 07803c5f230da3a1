package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rondo-chat/rondo/internal/testenv"
)

// fake is a mail server in the bubble of a test.
type fake struct {
	mu    sync.Mutex
	took  time.Duration             // for a mail
	fails func(m rendered) *failure // nil: none
	mails []rendered
	times []time.Time
	tries []time.Time
	now   int // being sent
	most  int
}

func (f *fake) send(ctx context.Context, m rendered) error {
	f.mu.Lock()
	f.now++
	f.most = max(f.most, f.now)
	f.tries = append(f.tries, time.Now())
	fails, took := f.fails, f.took
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()
	select {
	case <-time.After(took):
	case <-ctx.Done():
		return &failure{unreachable, "no answer in time"}
	}
	if fails != nil {
		if failed := fails(m); failed != nil {
			return failed
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mails, f.times = append(f.mails, m), append(f.times, time.Now())
	return nil
}

func (f *fake) answer(fails func(rendered) *failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = fails
}

func (f *fake) slow(took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.took = took
}

func always(o outcome) func(rendered) *failure {
	return func(rendered) *failure { return &failure{o, "smtp 000"} }
}

func (f *fake) got() []rendered {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]rendered(nil), f.mails...)
}

func (f *fake) count() (mails, tries int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.mails), len(f.tries)
}

type lab struct {
	store  *Memory
	sealer *Sealer
	server *fake
	log    *bytes.Buffer // read after Close only
	reg    *prometheus.Registry
}

func newLab(t *testing.T) *lab {
	t.Helper()
	sealer, err := NewSealer(make([]byte, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return &lab{store: NewMemory(), sealer: sealer, server: &fake{}, log: &bytes.Buffer{}, reg: prometheus.NewPedanticRegistry()}
}

// node starts a Worker; its Close is the test's.
func (l *lab) node(t *testing.T, cfg Config) *Worker {
	t.Helper()
	cfg.Sealer = l.sealer
	if cfg.Store == nil {
		cfg.Store = l.store
	}
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.driver = l.server
	w.Start()
	return w
}

func (l *lab) one(t *testing.T) *Worker {
	t.Helper()
	return l.node(t, Config{Logger: slog.New(slog.NewTextHandler(l.log, nil)), Registerer: l.reg})
}

func verification(to string) Message {
	return Message{To: to, Template: Verify, Data: Data{Code: "40718293", Minutes: 10}}
}

func notice(to string) Message {
	return Message{To: to, Name: "Ana", Template: PasswordChanged, Data: Data{At: time.Now()}}
}

func (l *lab) put(t *testing.T, m Message) Row {
	t.Helper()
	r, err := l.sealer.Seal(m, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.store.Put(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

func (l *lab) left(t *testing.T) Backlog {
	t.Helper()
	b, err := l.store.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWakeSendsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		w := l.one(t)
		defer w.Close()
		testenv.Elapse(time.Second)
		r := l.put(t, verification("ana@example.org"))
		w.Wake()
		synctest.Wait()
		got := l.server.got()
		if len(got) != 1 || got[0].To != "ana@example.org" || got[0].ID != r.ID || !strings.Contains(got[0].Text, "40718293") {
			t.Fatalf("%+v", got)
		}
		if b := l.left(t); b.Waiting != 0 || b.Dead != 0 {
			t.Fatalf("after it was sent: %+v", b)
		}
	})
}

func TestPollFindsMailOfOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		w := l.one(t)
		defer w.Close()
		testenv.Elapse(time.Second)
		l.put(t, verification("ana@example.org"))
		testenv.Elapse(2 * time.Second)
		if n, _ := l.server.count(); n != 1 {
			t.Fatalf("%d mails after a poll", n)
		}
	})
}

// TestTwoNodesSendOnce: many mails, slow sending, two nodes that are woken for each.
func TestTwoNodesSendOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.server.slow(700 * time.Millisecond)
		a, b := l.node(t, Config{}), l.node(t, Config{})
		defer a.Close()
		defer b.Close()
		const mails = 101
		for i := range mails {
			l.put(t, verification(fmt.Sprintf("u%d@example.org", i)))
			a.Wake()
			b.Wake()
		}
		testenv.Elapse(mails * 700 * time.Millisecond / 8 * 2)
		seen := map[string]int{}
		for _, m := range l.server.got() {
			seen[m.ID]++
			if seen[m.ID] > 1 {
				t.Errorf("%s was sent twice", m.To)
			}
		}
		if len(seen) != mails {
			t.Errorf("%d of %d sent", len(seen), mails)
		}
		if l.server.most != 8 {
			t.Errorf("%d at the same time, want the 4 of each node", l.server.most)
		}
	})
}

// TestOutage: the server is away for an hour, then back: every mail that still
// matters arrives soon, and no server was ever asked more than twice a minute by a node.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.server.answer(always(unreachable))
		w := l.one(t)
		for i := range 30 {
			l.put(t, notice(fmt.Sprintf("u%d@example.org", i)))
		}
		l.put(t, verification("late@example.org")) // 10 minutes
		w.Wake()
		testenv.Elapse(time.Hour)
		if n, tries := l.server.count(); n != 0 || tries > 60*60/22+10 {
			t.Errorf("%d mails, %d tries within an hour", n, tries)
		}
		l.server.answer(nil)
		testenv.Elapse(32 * time.Second)
		if n, _ := l.server.count(); n != 30 {
			t.Errorf("%d of 30 mails 32 s after the server is back", n)
		}
		if b := l.left(t); b.Waiting != 0 || b.Dead != 1 {
			t.Errorf("the code that expired must be the dead letter: %+v", b)
		}
		w.Close()
		if n := strings.Count(l.log.String(), "cannot be used"); n != 1 {
			t.Errorf("an outage was logged %d times:\n%s", n, l.log)
		}
	})
}

// TestDeferred: a mail that the server puts off (greylisting) is tried at
// growing intervals; others do not wait for it.
func TestDeferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.server.answer(func(m rendered) *failure {
			if m.To == "grey@example.org" && time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) < 5*time.Minute {
				return &failure{deferred, "smtp 451 at RCPT"}
			}
			return nil
		})
		w := l.one(t)
		defer w.Close()
		l.put(t, verification("grey@example.org"))
		l.put(t, verification("b@example.org"))
		w.Wake()
		synctest.Wait()
		if n, _ := l.server.count(); n != 1 {
			t.Fatalf("%d mails at once", n)
		}
		testenv.Elapse(9 * time.Minute)
		n, tries := l.server.count()
		if n != 2 {
			t.Fatalf("%d mails after 9 minutes, %d tries", n, tries)
		}
		if tries < 6 || tries > 10 { // 10, 20, 40, 80 s less a quarter, then a quarter of what is left
			t.Errorf("%d tries", tries)
		}
	})
}

func TestRefusedIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.server.answer(always(refused))
		w := l.one(t)
		l.put(t, verification("nobody@example.org"))
		w.Wake()
		testenv.Elapse(time.Hour)
		if _, tries := l.server.count(); tries != 1 {
			t.Errorf("%d tries", tries)
		}
		if b := l.left(t); b.Dead != 1 || b.Waiting != 0 {
			t.Errorf("%+v", b)
		}
		for _, r := range l.store.rows {
			if len(r.Body) != 0 {
				t.Error("the text stayed in the dead letter")
			}
		}
		testenv.Elapse(7 * 24 * time.Hour)
		if b := l.left(t); b.Dead != 0 {
			t.Errorf("after 7 days: %+v", b)
		}
		w.Close()
	})
}

// TestSlowServer: a server that hangs is given up after Timeout, does not hold
// more than the senders, and the mail stays one.
func TestSlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.server.slow(time.Hour)
		w := l.one(t)
		l.put(t, notice("a@example.org"))
		w.Wake()
		testenv.Elapse(29 * time.Second)
		if _, tries := l.server.count(); tries != 1 {
			t.Errorf("%d tries", tries)
		}
		testenv.Elapse(2 * time.Second)
		l.server.slow(0)
		testenv.Elapse(time.Minute)
		if n, _ := l.server.count(); n != 1 {
			t.Errorf("%d mails after the server is fast again", n)
		}
		w.Close()
	})
}

// TestCloseHandsOver: what a node that stops was sending goes on at another at once.
func TestCloseHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.server.slow(20 * time.Second)
		a := l.node(t, Config{})
		l.put(t, notice("a@example.org"))
		testenv.Elapse(3 * time.Second)
		start := time.Now()
		a.Close()
		if d := time.Since(start); d > 2*closing {
			t.Errorf("Close took %v", d)
		}
		l.server.slow(0)
		b := l.node(t, Config{})
		defer b.Close()
		testenv.Elapse(3 * time.Second)
		if n, _ := l.server.count(); n != 1 {
			t.Errorf("%d mails", n)
		}
	})
}

// TestCloseFinishes: what can be sent within some seconds is.
func TestCloseFinishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.server.slow(2 * time.Second)
		w := l.node(t, Config{})
		l.put(t, notice("a@example.org"))
		w.Wake()
		testenv.Elapse(time.Second)
		w.Close()
		if n, _ := l.server.count(); n != 1 || l.left(t).Waiting != 0 {
			t.Errorf("%d mails, %+v", n, l.left(t))
		}
	})
}

// TestDeadNodesMailIsTakenOver: a node leased a mail and was never heard of again.
func TestDeadNodesMailIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.put(t, notice("a@example.org"))
		if rows, err := l.store.Lease(t.Context(), "dead", time.Now(), time.Now().Add(time.Minute), 9); err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		w := l.node(t, Config{})
		defer w.Close()
		testenv.Elapse(59 * time.Second)
		if n, _ := l.server.count(); n != 0 {
			t.Fatal("sent during another's lease")
		}
		testenv.Elapse(4 * time.Second)
		if n, _ := l.server.count(); n != 1 {
			t.Fatalf("%d mails after the lease", n)
		}
	})
}

// brokenStore is one whose Done fails for a while.
type brokenStore struct {
	Store
	mu    sync.Mutex
	fails int
}

func (b *brokenStore) Done(ctx context.Context, id, lease string) error {
	b.mu.Lock()
	b.fails--
	failed := b.fails >= 0
	b.mu.Unlock()
	if failed {
		return errors.New("no disk")
	}
	return b.Store.Done(ctx, id, lease)
}

// TestNoteIsRepeated: a database that fails for some seconds after a mail was
// sent does not make it two.
func TestNoteIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		w := l.node(t, Config{Store: &brokenStore{Store: l.store, fails: 6}})
		defer w.Close()
		l.put(t, notice("a@example.org"))
		testenv.Elapse(5 * time.Minute)
		if n, _ := l.server.count(); n != 1 || l.left(t).Waiting != 0 {
			t.Errorf("%d mails, %+v", n, l.left(t))
		}
	})
}

func TestDecoy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		w := l.node(t, Config{})
		defer w.Close()
		m := verification("nobody@example.org")
		m.Decoy = true
		l.put(t, m)
		testenv.Elapse(time.Minute)
		if _, tries := l.server.count(); tries != 0 || l.left(t) != (Backlog{}) {
			t.Errorf("%d tries, %+v", tries, l.left(t))
		}
	})
}

func TestOtherSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		other, err := NewSealer(bytes.Repeat([]byte{1}, KeySize))
		if err != nil {
			t.Fatal(err)
		}
		r, err := other.Seal(notice("a@example.org"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := l.store.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		w := l.node(t, Config{})
		defer w.Close()
		testenv.Elapse(time.Minute)
		if _, tries := l.server.count(); tries != 0 || l.left(t).Dead != 1 {
			t.Errorf("%d tries, %+v", tries, l.left(t))
		}
	})
}

// TestMetrics also looks for what must not be in metrics and logs.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.server.answer(func(m rendered) *failure {
			switch m.To {
			case "secret-bad@example.org":
				return &failure{refused, "smtp 550 at RCPT"}
			case "secret-grey@example.org":
				return &failure{deferred, "smtp 451 at RCPT"}
			}
			return nil
		})
		w := l.one(t)
		for _, to := range []string{"secret-a@example.org", "secret-bad@example.org", "secret-grey@example.org"} {
			l.put(t, verification(to))
		}
		testenv.Elapse(20 * time.Second) // the backlog is measured every 15
		for o, want := range map[outcome]float64{sent: 1, refused: 1, unreachable: 0} {
			if got := testutil.ToFloat64(w.metrics.outcomes.WithLabelValues("verify", string(o))); got != want {
				t.Errorf("%s: %v", o, got)
			}
		}
		if testutil.ToFloat64(w.metrics.waiting) != 1 || testutil.ToFloat64(w.metrics.buried) != 1 || testutil.ToFloat64(w.metrics.oldest) < 15 {
			t.Error(testutil.ToFloat64(w.metrics.waiting), testutil.ToFloat64(w.metrics.buried), testutil.ToFloat64(w.metrics.oldest))
		}
		if problems, err := testutil.GatherAndLint(l.reg); err != nil || len(problems) > 0 {
			t.Error(problems, err)
		}
		families, err := l.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		said := l.log.String() + fmt.Sprint(families)
		if !strings.Contains(said, "smtp 550") {
			t.Error("the refusal is not in the log")
		}
		for _, secret := range []string{"secret", "example.org", "40718293"} {
			if strings.Contains(said, secret) {
				t.Errorf("%q is in the log or in a metric:\n%s", secret, said)
			}
		}
	})
}

func TestPrint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		w, err := New(Config{Store: l.store, Sealer: l.sealer, Logger: slog.New(slog.NewTextHandler(l.log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		w.Start()
		l.put(t, verification("dev@example.org"))
		w.Wake()
		synctest.Wait()
		w.Close()
		if s := l.log.String(); !strings.Contains(s, "code=40718293") || !strings.Contains(s, "to=dev@example.org") {
			t.Error(s)
		}
	})
}

func TestConfig(t *testing.T) {
	l := newLab(t)
	ok := Config{Store: l.store, Sealer: l.sealer, Server: "mail.example.org", From: "Rondo <rondo@example.org>"}
	with := func(f func(*Config)) Config {
		c := ok
		f(&c)
		return c
	}
	for name, c := range map[string]Config{
		"no store":       with(func(c *Config) { c.Store = nil }),
		"no sealer":      with(func(c *Config) { c.Sealer = nil }),
		"no From":        with(func(c *Config) { c.From = "" }),
		"bad From":       with(func(c *Config) { c.From = "a@b\r\nBcc: x@example.org" }),
		"two From":       with(func(c *Config) { c.From = "a@example.org, b@example.org" }),
		"bad security":   with(func(c *Config) { c.Security = "ssl" }),
		"bad server":     with(func(c *Config) { c.Server = "a:b:c" }),
		"bad CA":         with(func(c *Config) { c.CA = []byte("x") }),
		"clear password": with(func(c *Config) { c.Security, c.Username = Plain, "u" }),
		"negative":       with(func(c *Config) { c.Timeout = -1 }),
		"bad URL":        with(func(c *Config) { c.URL = "javascript:alert(1)" }),
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for server, want := range map[string]string{
		"mail.example.org": "mail.example.org:587", "mail.example.org:25": "mail.example.org:25", "[::1]": "[::1]:587", "::1": "[::1]:587",
	} {
		w, err := New(with(func(c *Config) { c.Server = server }))
		if err != nil || w.cfg.Server != want {
			t.Errorf("%s: %v", server, err)
		}
	}
}

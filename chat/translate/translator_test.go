package translate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake translates "x" to "<to>:x", from English. Do, if there, decides instead.
type fake struct {
	do func(ctx context.Context, texts []string, to string) ([]Translation, error)

	mu    sync.Mutex
	calls [][]string
}

func (*fake) Name() string { return "fake" }

func (f *fake) Translate(ctx context.Context, texts []string, _, to string) ([]Translation, error) {
	f.mu.Lock()
	f.calls = append(f.calls, texts)
	f.mu.Unlock()
	if f.do != nil {
		return f.do(ctx, texts, to)
	}
	return translated(texts, to), nil
}

func translated(texts []string, to string) []Translation {
	list := make([]Translation, len(texts))
	for i, s := range texts {
		list[i] = Translation{Text: to + ":" + s, From: "en"}
	}
	return list
}

// asked is how many texts the provider has been asked for.
func (f *fake) asked() (texts, calls int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		texts += len(c)
	}
	return texts, len(f.calls)
}

func translator(t testing.TB, cfg Config) *Translator {
	t.Helper()
	tr, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

func message(seq uint64, text string) protocol.ConvMessage {
	return protocol.ConvMessage{Seq: seq, Rev: seq + 1, Text: text}
}

func messages(texts ...string) []protocol.ConvMessage {
	var list []protocol.ConvMessage
	for i, s := range texts {
		list = append(list, message(uint64(i+1), s))
	}
	return list
}

func show(d []protocol.ConvTranslation) string {
	var b strings.Builder
	for _, x := range d {
		fmt.Fprintf(&b, "%d/%d %s %s|", x.Seq, x.Rev, x.From, x.Text)
	}
	return b.String()
}

func hasCode(err error, c protocol.Code) bool { return errors.Is(err, &protocol.Error{Code: c}) }

func retryOf(err error) time.Duration {
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return e.Retry
	}
	return 0
}

func TestTranslate(t *testing.T) {
	p := &fake{}
	tr, ctx := translator(t, Config{Provider: p}), t.Context()
	list := messages("hello", "world", "hello", "", "👍 123!", "gone")
	list[5].Deleted = 1
	got, err := tr.Translate(ctx, "u_1", list, "de-AT")
	if want := "1/2 en de:hello|2/3 en de:world|3/4 en de:hello|5/6  👍 123!|"; err != nil || show(got) != want {
		t.Fatalf("%q, %v, want %q", show(got), err, want)
	}
	if texts, calls := p.asked(); texts != 2 || calls != 1 {
		t.Errorf("%d texts in %d calls", texts, calls)
	}
	if _, err := tr.Translate(ctx, "u_2", list, "de"); err != nil {
		t.Error(err)
	}
	if texts, _ := p.asked(); texts != 2 {
		t.Errorf("known texts were asked for again: %d", texts)
	}
	for to, want := range map[string]string{"en-GB": "1/2 en hello|", "zh-TW": "1/2 en zh-Hant:hello|", "zh": "1/2 en zh:hello|", "iw": "1/2 en he:hello|"} {
		if got, err := tr.Translate(ctx, "u_1", list[:1], to); err != nil || show(got) != want {
			t.Errorf("to %s: %q, %v", to, show(got), err)
		}
	}
}

func TestBadRequests(t *testing.T) {
	p := &fake{do: func(context.Context, []string, string) ([]Translation, error) { return nil, ErrLanguage }}
	tr := translator(t, Config{Provider: p})
	for _, to := range []string{"", "xx", "und", "de\x00", "../..", strings.Repeat("de-", 50), "tlh"} {
		if _, err := tr.Translate(t.Context(), "u_1", messages("hello"), to); !hasCode(err, protocol.CodeBadRequest) {
			t.Errorf("to %q: %v", to, err)
		}
	}
	if _, err := tr.Translate(t.Context(), "u_1", make([]protocol.ConvMessage, protocol.MaxTranslateBatch+1), "de"); !hasCode(err, protocol.CodeBadRequest) {
		t.Error(err)
	}
	if got, err := tr.Translate(t.Context(), "u_1", nil, "de"); err != nil || len(got) != 0 || got == nil {
		t.Errorf("nothing: %v, %v", got, err)
	}
	for _, bad := range []Config{{}, {Provider: p, Timeout: -1}, {Provider: p, MemoryBytes: -1}, {Provider: p, Queue: -1}, {Provider: p, Concurrency: -1}} {
		if _, err := New(bad); err == nil {
			t.Errorf("made with %+v", bad)
		}
	}
}

// TestOneFlight: what a hundred people want at once is asked for once.
func TestOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fake{do: func(_ context.Context, texts []string, to string) ([]Translation, error) {
			<-time.After(400 * time.Millisecond)
			return translated(texts, to), nil
		}}
		tr := translator(t, Config{Provider: p})
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				got, err := tr.Translate(t.Context(), protocol.UserID(fmt.Sprint("u_", i)), messages("a", "b", "c"), "de")
				if want := "1/2 en de:a|2/3 en de:b|3/4 en de:c|"; err != nil || show(got) != want {
					t.Errorf("%q, %v", show(got), err)
				}
			})
		}
		all.Wait()
		if texts, calls := p.asked(); texts != 3 || calls > 3 {
			t.Errorf("%d texts in %d calls", texts, calls)
		}
	})
}

// TestSlowProvider: callers wait Patience, no longer; what came in time is given, what comes later is
// known to who asks again, known texts come at once, and nothing is paid for twice.
func TestSlowProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fake{do: func(ctx context.Context, texts []string, to string) ([]Translation, error) {
			if strings.HasPrefix(texts[0], "hangs") {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			if strings.HasPrefix(texts[0], "slow") {
				<-time.After(3500 * time.Millisecond)
			}
			return translated(texts, to), nil
		}}
		tr, ctx := translator(t, Config{Provider: p, PerUser: 5 * chunkChars, Patience: time.Second}), t.Context()
		long := strings.Repeat(" word", chunkChars/5)
		texts := []string{"quick" + long, "slow" + long, "quick too" + long}
		for second, want := range []int{2, 2, 2, 3, 3} {
			start := time.Now()
			got, err := tr.Translate(ctx, "u_1", messages(texts...), "de")
			if took := time.Since(start); err != nil || len(got) != want || took != time.Second && want == 2 || took >= time.Second && want == 3 {
				t.Fatalf("after %d s: %d texts, %v, after %v", second, len(got), err, took)
			}
			if want == 3 {
				testenv.Elapse(time.Second)
			}
		}
		start := time.Now()
		if _, err := tr.Translate(ctx, "u_1", messages("hangs"), "de"); !hasCode(err, protocol.CodeUnavailable) || retryOf(err) != time.Second {
			t.Error(err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestProviderThatNeverEnds: also one that minds no context keeps nobody.
func TestProviderThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		p := &fake{do: func(context.Context, []string, string) ([]Translation, error) {
			<-leave
			return nil, errors.New("late")
		}}
		tr := translator(t, Config{Provider: p, Concurrency: 1, Queue: 2, Patience: time.Second})
		start := time.Now()
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				if _, err := tr.Translate(t.Context(), "u_1", messages(fmt.Sprint("text ", i)), "de"); !hasCode(err, protocol.CodeUnavailable) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %v", took)
		}
		if n := testutil.ToFloat64(tr.m.refused.WithLabelValues("queue")); n != 7 {
			t.Errorf("%v of 10 were refused, where one is called and two wait", n)
		}
		testenv.Elapse(10 * time.Second)
		if _, calls := p.asked(); calls != 1 {
			t.Errorf("%d calls at once", calls)
		}
		close(leave)
	})
}

// TestCircuit: a provider that fails is left alone, asked again later by one, and used when it works.
func TestCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		p := &fake{do: func(_ context.Context, texts []string, to string) ([]Translation, error) {
			if down.Load() {
				<-time.After(10 * time.Millisecond)
				return nil, errors.New("down")
			}
			return translated(texts, to), nil
		}}
		tr, ctx, n := translator(t, Config{Provider: p}), t.Context(), 0
		ask := func() error {
			n++
			_, err := tr.Translate(ctx, "u_1", messages(fmt.Sprint("text ", n)), "de")
			return err
		}
		for range 100 {
			if err := ask(); !hasCode(err, protocol.CodeUnavailable) || retryOf(err) < time.Second {
				t.Fatal(err)
			}
		}
		if _, calls := p.asked(); calls != failures {
			t.Fatalf("%d calls of a provider that is down", calls)
		}
		for range 1000 { // for 1,000 s: tries after 1, 2, 4 … 60 s
			_ = ask()
			testenv.Elapse(time.Second)
		}
		if _, calls := p.asked(); calls < failures+10 || calls > failures+30 {
			t.Errorf("%d calls in 1,000 s", calls)
		}
		testenv.Elapse(longRest)
		_, before := p.asked()
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() { _, _ = tr.Translate(ctx, "u_2", messages(fmt.Sprint("try ", i)), "de") })
		}
		all.Wait()
		if _, calls := p.asked(); calls != before+1 {
			t.Errorf("%d find out at once whether it works", calls-before)
		}
		down.Store(false)
		testenv.Elapse(longRest)
		for range 10 {
			if err := ask(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestBusyProvider: it is left alone for as long as it says.
func TestBusyProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var busy atomic.Pointer[BusyError]
		busy.Store(&BusyError{Retry: 20 * time.Second})
		p := &fake{do: func(_ context.Context, texts []string, to string) ([]Translation, error) {
			if e := busy.Load(); e != nil {
				return nil, e
			}
			return translated(texts, to), nil
		}}
		tr, ctx := translator(t, Config{Provider: p}), t.Context()
		ask := func() error { _, err := tr.Translate(ctx, "u_1", messages("text"), "de"); return err }
		if err := ask(); !hasCode(err, protocol.CodeUnavailable) || retryOf(err) != 20*time.Second {
			t.Fatalf("%v, retry %v", err, retryOf(err))
		}
		busy.Store(nil)
		testenv.Elapse(19 * time.Second)
		if err := ask(); !hasCode(err, protocol.CodeUnavailable) || retryOf(err) != time.Second {
			t.Fatalf("%v, retry %v", err, retryOf(err))
		}
		testenv.Elapse(time.Second)
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		if _, calls := p.asked(); calls != 2 {
			t.Errorf("%d calls", calls)
		}
		if s := new(BusyError).Error() + (&BusyError{Quota: true}).Error(); !strings.Contains(s, "quota") {
			t.Error(s)
		}
	})
}

// TestQuota: a user's does not touch others, all have one together, known texts are free, and
// characters come back.
func TestQuota(t *testing.T) {
	p := &fake{}
	tr, ctx := translator(t, Config{Provider: p, PerUser: 100, PerDay: 250}), t.Context()
	text := func(s string) []protocol.ConvMessage { return messages(strings.Repeat(s, 90)) }
	if _, err := tr.Translate(ctx, "u_1", text("ä"), "de"); err != nil {
		t.Fatal(err)
	}
	_, err := tr.Translate(ctx, "u_1", text("b"), "de")
	if wait := retryOf(err); !hasCode(err, protocol.CodeRateLimited) || wait < 15*time.Hour || wait > 24*time.Hour {
		t.Fatalf("%v, retry %v", err, wait)
	}
	if got, err := tr.Translate(ctx, "u_1", append(text("b"), text("ä")...), "de"); err != nil || len(got) != 1 {
		t.Errorf("a known text beside one over the quota: %d, %v", len(got), err)
	}
	if _, err := tr.Translate(ctx, "u_2", text("b"), "de"); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	if _, err := tr.Translate(ctx, "u_3", text("c"), "de"); !hasCode(err, protocol.CodeRateLimited) {
		t.Errorf("over the quota of all: %v", err)
	}
	if _, err := tr.Translate(ctx, "u_3", text("ä"), "de"); err != nil {
		t.Errorf("known: %v", err)
	}
	free := translator(t, Config{Provider: p, PerUser: -1, PerDay: -1})
	for i := range 50 {
		if _, err := free.Translate(ctx, "u_1", messages(strings.Repeat("x", 5000)+fmt.Sprint(i)), "de"); err != nil {
			t.Fatal(err)
		}
	}
	small := translator(t, Config{Provider: p, PerUser: 10})
	if _, err := small.Translate(ctx, "u_1", text("d"), "de"); err != nil {
		t.Errorf("a text longer than the quota, once a day: %v", err)
	}
	if _, err := small.Translate(ctx, "u_1", text("e"), "de"); !hasCode(err, protocol.CodeRateLimited) {
		t.Errorf("another one: %v", err)
	}
}

// TestBatches: no request is too large, no call either, and all comes when asked again.
func TestBatches(t *testing.T) {
	p := &fake{do: func(_ context.Context, texts []string, to string) ([]Translation, error) {
		if n := len(strings.Join(texts, "")); len(texts) > chunkTexts || n > chunkChars && len(texts) > 1 {
			return nil, fmt.Errorf("a call of %d texts and %d characters", len(texts), n)
		}
		return translated(texts, to), nil
	}}
	tr, ctx := translator(t, Config{Provider: p, PerUser: -1, PerDay: -1}), t.Context()
	var list []protocol.ConvMessage
	for i := range protocol.MaxTranslateBatch {
		list = append(list, message(uint64(i), fmt.Sprint(i, strings.Repeat(" word", i*20))))
	}
	if got, err := tr.Translate(ctx, "u_1", messages(strings.Split(strings.Repeat("x", protocol.MaxTranslateBatch), "")...), "de"); err != nil || len(got) != protocol.MaxTranslateBatch {
		t.Errorf("one text, often: %d, %v", len(got), err)
	}
	var short []string
	for i := range protocol.MaxTranslateBatch {
		short = append(short, fmt.Sprint("s", i))
	}
	if got, err := tr.Translate(ctx, "u_1", messages(short...), "de"); err != nil || len(got) != len(short) {
		t.Errorf("short texts: %d, %v", len(got), err)
	}
	sum := 0
	for _, m := range list {
		sum += len(m.Text)
	}
	for round := 1; ; round++ {
		got, err := tr.Translate(ctx, "u_1", list, "de")
		if err != nil || round > sum/batchChars+3 {
			t.Fatalf("round %d: %d texts, %v", round, len(got), err)
		}
		if len(got) == len(list) {
			if round == 1 {
				t.Error("all at once")
			}
			return
		}
	}
}

// TestHostileAnswers: what the provider says is made into what a message may be.
func TestHostileAnswers(t *testing.T) {
	var answer []Translation
	p := &fake{do: func(context.Context, []string, string) ([]Translation, error) { return answer, nil }}
	tr, ctx, n := translator(t, Config{Provider: p}), t.Context(), 0
	for _, c := range []struct {
		answer []Translation
		want   string
	}{
		{[]Translation{{Text: "gut\x00\x1b[31m\u0085\r\n\t", From: "en"}}, "en gut[31m\n\t"},
		{[]Translation{{Text: "a\xffb", From: "<script>"}}, " a\ufffdb"},
		{[]Translation{{Text: strings.Repeat("x", 1<<20)}}, " text"},
		{[]Translation{{Text: " \n "}}, " text"},
		{[]Translation{{From: "en"}}, "en text"},
		{nil, "unavailable"},
		{[]Translation{{Text: "1"}, {Text: "2"}}, "unavailable"},
	} {
		answer = c.answer
		n++
		got, err := tr.Translate(ctx, "u_1", messages(fmt.Sprint("text ", n)), "de")
		shown := string(protocol.CodeOf(err))
		if len(got) == 1 {
			shown = got[0].From + " " + got[0].Text
		}
		if shown = strings.TrimSuffix(shown, fmt.Sprint(" ", n)); shown != c.want {
			t.Errorf("%.40q: %q, %v, want %q", fmt.Sprint(c.answer), shown, err, c.want)
		}
	}
}

// shared is a Cache in a map.
type shared struct {
	mu   sync.Mutex
	list map[string]Translation
	err  error
}

func (s *shared) Get(_ context.Context, keys []string) (map[string]Translation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]Translation{}
	for _, k := range keys {
		if r, ok := s.list[k]; ok {
			found[k] = r
		}
	}
	return found, s.err
}

func (s *shared) Put(_ context.Context, list map[string]Translation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, r := range list {
		s.list[k] = r
	}
	return s.err
}

// TestSharedCache: another node need not ask again; one that is away changes nothing.
func TestSharedCache(t *testing.T) {
	s := &shared{list: map[string]Translation{}}
	p := &fake{}
	a, ctx := translator(t, Config{Provider: p, Cache: s}), t.Context()
	if _, err := a.Translate(ctx, "u_1", messages("one", "two"), "de"); err != nil {
		t.Fatal(err)
	}
	a.Close() // what is shared is shared then
	if len(s.list) != 2 {
		t.Fatalf("%d are shared", len(s.list))
	}
	for k := range s.list {
		if strings.Contains(k, "one") || len(k) != 43 {
			t.Errorf("key %q", k)
		}
	}
	b := translator(t, Config{Provider: p, Cache: s})
	for range 2 {
		if got, err := b.Translate(ctx, "u_1", messages("one", "two"), "de"); err != nil || len(got) != 2 {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if texts, _ := p.asked(); texts != 2 {
		t.Errorf("%d texts were asked for", texts)
	}
	c := translator(t, Config{Provider: p, Cache: &shared{err: errors.New("away"), list: map[string]Translation{}}})
	if got, err := c.Translate(ctx, "u_1", messages("one"), "de"); err != nil || len(got) != 1 {
		t.Errorf("without it: %v, %v", got, err)
	}
}

// TestMemoryIsBounded: in bytes; what was used last stays.
func TestMemoryIsBounded(t *testing.T) {
	m := newMemory(100_000)
	for i := range 10_000 {
		m.put(fmt.Sprint("key", i), Translation{Text: strings.Repeat("x", i%500)})
		if _, ok := m.get("key0"); !ok {
			t.Fatalf("what is used goes after %d", i)
		}
		if m.size() > 100_000 {
			t.Fatalf("%d bytes", m.size())
		}
	}
	if len(m.entries) != m.order.Len() || len(m.entries) < 100 {
		t.Errorf("%d entries, %d in order", len(m.entries), m.order.Len())
	}
	for i := range 10 {
		m.put("same", Translation{Text: strings.Repeat("x", i)})
	}
	m.put("huge", Translation{Text: strings.Repeat("x", 200_000)})
	if m.size() != 0 || len(m.entries) != 0 {
		t.Errorf("%d bytes, %d entries", m.size(), len(m.entries))
	}
}

// TestClosed: who asks after the end gets an answer, at once.
func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fake{do: func(ctx context.Context, _ []string, _ string) ([]Translation, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		tr := translator(t, Config{Provider: p})
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := tr.Translate(t.Context(), "u_1", messages("a"), "de"); !hasCode(err, protocol.CodeUnavailable) {
				t.Error(err)
			}
		})
		synctest.Wait()
		start := time.Now()
		tr.Close()
		all.Wait()
		if _, err := tr.Translate(t.Context(), "u_1", messages("b"), "de"); !hasCode(err, protocol.CodeUnavailable) || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	tr := translator(t, Config{Provider: &fake{}, Registerer: reg})
	for range 2 {
		if _, err := tr.Translate(t.Context(), "u_1", messages("hello"), "de"); err != nil {
			t.Fatal(err)
		}
	}
	for _, from := range []string{"provider", "memory"} {
		if n := testutil.ToFloat64(tr.m.texts.WithLabelValues(from)); n != 1 {
			t.Errorf("%v from %s", n, from)
		}
	}
	if n, err := testutil.GatherAndCount(reg); err != nil || n < 15 {
		t.Errorf("%d metrics, %v", n, err)
	}
}

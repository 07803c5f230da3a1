package translate

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/text/language"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/text"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	batchChars = 10_000 // of new texts in one request; the rest is left out
	chunkChars = 1_500  // of one call, so that a slow provider finishes some; a longer text is a call
	chunkTexts = 20     // of one call
	day        = 24 * time.Hour
)

// Config is what a Translator needs. Zero fields have the defaults given.
type Config struct {
	Provider    Provider              // required
	Cache       Cache                 // for all nodes; nil: none
	Limiter     ratelimit.Limiter     // of this node alone
	PerUser     int                   // new characters that a user has a day; 50,000; negative: no limit
	PerDay      int                   // that all have; 1,000,000; negative: no limit
	MemoryBytes int                   // for translations; 16 MiB
	Patience    time.Duration         // how long callers wait; 500 ms
	Timeout     time.Duration         // of a call, waiting for a free one included; 5 s
	Concurrency int                   // calls at once; 4
	Queue       int                   // calls that wait; 100
	Logger      *slog.Logger          // default: nothing is logged
	Registerer  prometheus.Registerer // nil: no metrics

	now func() time.Time // for tests of this package
}

func (c *Config) validate() error {
	if c.Provider == nil {
		return errors.New("translate: Config.Provider is missing")
	}
	if c.MemoryBytes < 0 || c.Patience < 0 || c.Timeout < 0 || c.Concurrency < 0 || c.Queue < 0 {
		return errors.New("translate: a limit of the Config is negative")
	}
	setDefault(&c.PerUser, 50_000)
	setDefault(&c.PerDay, 1_000_000)
	setDefault(&c.MemoryBytes, 16<<20)
	setDefault(&c.Patience, 500*time.Millisecond)
	setDefault(&c.Timeout, 5*time.Second)
	setDefault(&c.Concurrency, 4)
	setDefault(&c.Queue, 100)
	if c.Limiter == nil {
		c.Limiter = ratelimit.NewMemory(100_000)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if c.now == nil {
		c.now = time.Now
	}
	return nil
}

func setDefault[T ~int | ~int64](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// Translator translates messages. It is safe for concurrent use.
type Translator struct {
	cfg     Config
	m       *metrics
	memory  *memory
	breaker breaker
	slots   chan struct{}
	waiting atomic.Int64 // calls, those that run included
	life    context.Context
	end     context.CancelFunc
	calls   sync.WaitGroup

	mu      sync.Mutex
	ended   bool
	flights map[string]*flight
}

// New makes a Translator. Close ends it.
func New(cfg Config) (*Translator, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	t := &Translator{cfg: cfg, memory: newMemory(cfg.MemoryBytes), slots: make(chan struct{}, cfg.Concurrency), flights: map[string]*flight{}}
	t.life, t.end = context.WithCancel(context.Background())
	t.m = newMetrics(t, cfg.Registerer)
	return t, nil
}

// Close breaks off what is under way.
func (t *Translator) Close() {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	t.end()
	t.calls.Wait()
}

// Translate translates messages that the user may read, at most protocol.MaxTranslateBatch,
// into a language. Texts of that language, and those that cannot be translated, are given as they are.
// Left out are deleted messages, and those that take longer than Patience or are too many for once: who asks
// for them again a second later finds them known. An error is returned only if there is nothing else.
func (t *Translator) Translate(ctx context.Context, user protocol.UserID, messages []protocol.ConvMessage, to string) ([]protocol.ConvTranslation, error) {
	target, err := targetOf(to)
	if err != nil {
		return nil, err
	}
	if len(messages) > protocol.MaxTranslateBatch {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "messages: at most %d", protocol.MaxTranslateBatch)
	}
	wants := t.wants(messages, target)
	t.recall(ctx, wants)
	err = t.ask(ctx, user, target, wants)
	byText := map[string]*want{}
	for _, w := range wants {
		byText[w.text] = w
	}
	done := []protocol.ConvTranslation{}
	for _, m := range messages {
		if w := byText[m.Text]; w != nil && m.Deleted == 0 && w.found {
			done = append(done, protocol.ConvTranslation{Seq: m.Seq, Rev: m.Rev, From: w.result.From, Text: w.result.Text})
		}
	}
	if len(done) > 0 {
		return done, nil
	}
	return done, err
}

// targetOf is the language that the reader wants: the primary one, but for the two ways to write Chinese.
func targetOf(to string) (string, error) {
	primary, err := text.Language(to)
	if err != nil {
		return "", protocol.Errorf(protocol.CodeBadRequest, "to: not a language")
	}
	if primary == "zh" {
		if script, _ := language.Make(to).Script(); script.String() == "Hant" {
			return "zh-Hant", nil
		}
	}
	return primary, nil
}

// want is a text, of one message or of several.
type want struct {
	key    string
	text   string
	result Translation
	found  bool
}

// wants lists what is to be translated, each text once. What has no letters is its own translation.
func (t *Translator) wants(messages []protocol.ConvMessage, target string) []*want {
	var list []*want
	seen := map[string]bool{}
	for _, m := range messages {
		if m.Deleted != 0 || m.Text == "" || seen[m.Text] {
			continue
		}
		seen[m.Text] = true
		w := &want{key: t.key(m.Text, target), text: m.Text}
		if !strings.ContainsFunc(m.Text, unicode.IsLetter) {
			w.result, w.found = Translation{Text: m.Text}, true
		}
		list = append(list, w)
	}
	return list
}

// key is where a translation is kept.
func (t *Translator) key(s, target string) string {
	h := sha256.New()
	for _, part := range []string{t.cfg.Provider.Name(), target, s} {
		_, _ = io.WriteString(h, part)
		_, _ = h.Write([]byte{0})
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// recall looks in memory and in the cache.
func (t *Translator) recall(ctx context.Context, wants []*want) {
	var keys []string
	for _, w := range wants {
		if w.found {
			continue
		}
		if w.result, w.found = t.memory.get(w.key); w.found {
			t.m.texts.WithLabelValues("memory").Inc()
			continue
		}
		keys = append(keys, w.key)
	}
	if t.cfg.Cache == nil || len(keys) == 0 {
		return
	}
	known, err := t.cfg.Cache.Get(ctx, keys)
	if err != nil {
		return // then it is asked again
	}
	for _, w := range wants {
		if r, ok := known[w.key]; ok && !w.found && r.Text != "" {
			w.result, w.found = r, true
			t.memory.put(w.key, r)
			t.m.texts.WithLabelValues("cache").Inc()
		}
	}
}

// ask asks the provider for what was not found, as far as the user's quota goes, and waits
// for Patience.
func (t *Translator) ask(ctx context.Context, user protocol.UserID, target string, wants []*want) error {
	missing, chars := t.lacking(wants)
	if len(missing) == 0 {
		return nil
	}
	if wait := t.breaker.open(t.cfg.now()); wait > 0 {
		t.m.refused.WithLabelValues("circuit").Inc()
		return unavailable(wait)
	}
	if err := t.spend(ctx, user, chars); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Patience)
	defer cancel()
	var problem error
	for i, f := range t.join(target, missing) {
		w := missing[i]
		var err error
		if w.result, err = f.wait(ctx); err != nil && problem == nil {
			problem = err
		}
		if w.found = err == nil; w.found {
			t.m.texts.WithLabelValues("provider").Inc()
		} else {
			t.m.texts.WithLabelValues("nobody").Inc()
		}
	}
	return problem
}

// lacking lists the wants that are not found, up to batchChars and at least one, and counts the
// characters of those that nobody has asked for.
func (t *Translator) lacking(wants []*want) (list []*want, chars int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := 0
	for _, w := range wants {
		if w.found {
			continue
		}
		n := utf8.RuneCountInString(w.text)
		if len(list) > 0 && sum+n > batchChars {
			continue
		}
		list, sum = append(list, w), sum+n
		if t.flights[w.key] == nil {
			chars += n
		}
	}
	return list, chars
}

// spend takes characters from the quotas. One text longer than a quota costs all of it.
func (t *Translator) spend(ctx context.Context, user protocol.UserID, chars int) error {
	for _, q := range []struct {
		name, key string
		perDay    int
	}{{"user", "translate:user:" + string(user), t.cfg.PerUser}, {"total", "translate:total", t.cfg.PerDay}} {
		if q.perDay < 0 || chars == 0 {
			continue
		}
		rate := ratelimit.Rate{PerSecond: float64(q.perDay) / day.Seconds(), Burst: float64(q.perDay)}
		ok, retry, err := t.cfg.Limiter.Take(ctx, q.key, float64(min(chars, q.perDay)), rate)
		if err != nil {
			return err
		}
		if !ok {
			t.m.refused.WithLabelValues(q.name).Inc()
			e := protocol.Errorf(protocol.CodeRateLimited, "no more can be translated for now")
			e.Retry = retry
			return e
		}
	}
	return nil
}

func unavailable(retry time.Duration) error {
	e := protocol.Errorf(protocol.CodeUnavailable, "translation is unavailable for the moment")
	e.Retry = min(max(retry, time.Second), time.Minute)
	return e
}

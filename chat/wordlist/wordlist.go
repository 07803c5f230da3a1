package wordlist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// lookEvery is how often the file is looked at, when there is a text to check.
const lookEvery = 5 * time.Second

// Config is what a Moderator needs. Zero fields have the defaults given.
type Config struct {
	File       string                // with the list, see Parse; "": no words are blocked
	Links      int                   // that a user may post an hour; 60; negative: none
	GuestLinks int                   // that a guest may post an hour; 5; negative: none
	Limiter    ratelimit.Limiter     // counts links; in this process's memory
	Logger     *slog.Logger          // default: nothing is logged
	Registerer prometheus.Registerer // nil: no metrics

	now func() time.Time // for tests of this package
}

// Moderator refuses texts. It is safe for concurrent use.
type Moderator struct {
	cfg     Config
	refused *prometheus.CounterVec
	list    atomic.Pointer[List]
	file    atomic.Pointer[state]
	look    atomic.Int64 // when to look at the file again, Unix nanoseconds
}

// state is how a file was when it was read.
type state struct {
	changed time.Time
	size    int64
}

var _ conversations.Moderator = (*Moderator)(nil)

// New makes a Moderator. A list that cannot be read is an error.
func New(cfg Config) (*Moderator, error) {
	if cfg.Links == 0 {
		cfg.Links = 60
	}
	if cfg.GuestLinks == 0 {
		cfg.GuestLinks = 5
	}
	if cfg.Limiter == nil {
		cfg.Limiter = ratelimit.NewMemory(100_000)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if cfg.now == nil {
		cfg.now = time.Now
	}
	m := &Moderator{cfg: cfg, refused: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rondo_wordlist_refused_total", Help: "Texts that were refused, by why.",
	}, []string{"reason"})}
	for _, reason := range []string{"word", "links"} {
		m.refused.WithLabelValues(reason)
	}
	list, err := Parse(nil)
	if err != nil {
		return nil, err
	}
	m.list.Store(list)
	if cfg.File != "" {
		if _, err := m.read(); err != nil {
			return nil, err
		}
	}
	m.look.Store(cfg.now().Add(lookEvery).UnixNano())
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(m.refused)
	}
	return m, nil
}

// Check implements conversations.Moderator. Errors: rejected, rate_limited.
func (m *Moderator) Check(ctx context.Context, who conversations.Caller, _ protocol.RoomID, text string) error {
	m.refresh()
	list := m.list.Load()
	if list.Blocks(text) {
		m.refused.WithLabelValues("word").Inc()
		return protocol.Errorf(protocol.CodeRejected, "this service does not want a word in this text")
	}
	return m.checkLinks(ctx, who, list.links(text))
}

func (m *Moderator) checkLinks(ctx context.Context, who conversations.Caller, n int) error {
	perHour, kind := m.cfg.Links, "links:user:"
	if who.Guest {
		perHour, kind = m.cfg.GuestLinks, "links:guest:"
	}
	if n == 0 {
		return nil
	}
	rate := ratelimit.Rate{PerSecond: float64(perHour) / 3600, Burst: float64(perHour)}
	if n > perHour { // also where there may be none
		m.refused.WithLabelValues("links").Inc()
		return protocol.Errorf(protocol.CodeRejected, "there are too many links in this text")
	}
	ok, retry, err := m.cfg.Limiter.Take(ctx, kind+string(who.Identity), float64(n), rate)
	if err != nil || ok {
		return err
	}
	m.refused.WithLabelValues("links").Inc()
	e := protocol.Errorf(protocol.CodeRateLimited, "too many links: wait a little")
	e.Retry = retry
	return e
}

// refresh reads the list again if its file has changed. One of those who come looks.
func (m *Moderator) refresh() {
	now, due := m.cfg.now(), m.look.Load()
	if m.cfg.File == "" || now.UnixNano() < due || !m.look.CompareAndSwap(due, now.Add(lookEvery).UnixNano()) {
		return
	}
	changed, err := m.read()
	switch {
	case err != nil:
		m.cfg.Logger.Warn("wordlist: the list cannot be read, the one before stays", "error", err)
	case changed:
		m.cfg.Logger.Info("wordlist: the list was read again", "entries", m.list.Load().lines)
	}
}

// read reads the list if its file is not as it was.
func (m *Moderator) read() (changed bool, err error) {
	info, err := os.Stat(m.cfg.File)
	if err != nil {
		return false, fmt.Errorf("wordlist: %w", err)
	}
	is := state{info.ModTime(), info.Size()}
	if was := m.file.Load(); was != nil && *was == is {
		return false, nil
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return false, errors.New("wordlist: not a file, or too large a one")
	}
	b, err := os.ReadFile(m.cfg.File)
	if err != nil {
		return false, fmt.Errorf("wordlist: %w", err)
	}
	m.file.Store(&is) // a bad one is told of once
	list, err := Parse(b)
	if err != nil {
		return false, err
	}
	m.list.Store(list)
	return true, nil
}

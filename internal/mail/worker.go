package mail

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	// storeTimeout bounds a call of the store.
	storeTimeout = 10 * time.Second
	// margin is what a lease lasts longer than the sending: for the note of its end.
	margin = 30 * time.Second
	// A server that is not reachable is asked again after minPause, then twice that…
	minPause = time.Second
	maxPause = 30 * time.Second
	// A mail that was deferred is tried again after minRetry, then twice that…
	minRetry = 10 * time.Second
	maxRetry = 15 * time.Minute
	// closing is how long Close waits for what is being sent, and then for the note of it.
	closing = 3 * time.Second
	// watchEvery is how often the backlog is measured and dead letters are pruned.
	watchEvery = 15 * time.Second
)

// driver hands one mail to whom sends it. Errors are *failure.
type driver interface {
	send(ctx context.Context, m rendered) error
}

// Worker sends what is in the outbox. Each node has one.
type Worker struct {
	cfg      Config
	driver   driver
	renderer *renderer
	metrics  *metrics

	wake    chan struct{} // of one
	results chan result
	stop    context.CancelFunc // of the loop
	stopped context.Context
	abort   context.CancelFunc // of what is being sent
	aborted context.Context
	running sync.WaitGroup
}

// New returns a Worker that is not started.
func New(cfg Config) (*Worker, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	w := &Worker{cfg: cfg, driver: &printDriver{log: cfg.Logger}}
	if cfg.Server != "" {
		d, err := newSMTP(&cfg)
		if err != nil {
			return nil, err
		}
		w.driver = d
	}
	var err error
	if w.renderer, err = newRenderer(cfg.Service, cfg.URL); err != nil {
		return nil, err
	}
	w.metrics = newMetrics(cfg.Registerer)
	w.wake, w.results = make(chan struct{}, 1), make(chan result, cfg.Senders)
	w.stopped, w.stop = context.WithCancel(context.Background())
	w.aborted, w.abort = context.WithCancel(context.Background())
	return w, nil
}

// Start begins to send.
func (w *Worker) Start() { w.running.Go(w.run) }

// Wake says that a mail was put into the outbox, which is then looked at at
// once. It never blocks.
func (w *Worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Close ends the Worker and waits for it, some seconds at most. What is being sent then is
// broken off and left to another node, or to the next start.
func (w *Worker) Close() {
	w.stop()
	late := time.AfterFunc(closing, w.abort)
	defer late.Stop()
	w.running.Wait()
	w.abort()
}

// result is how the sending of one row ended for the loop.
type result struct {
	outcome outcome
	reason  string
}

// loop is what run knows.
type loop struct {
	free     int       // senders
	failures int       // in a row, of the server
	resume   time.Time // before that the server is left alone
	watch    time.Time // when to look at the backlog
}

func (w *Worker) run() {
	l := &loop{free: w.cfg.Senders}
	for w.stopped.Err() == nil {
		now := time.Now()
		if !now.Before(l.watch) {
			w.look(now)
			l.watch = now.Add(watchEvery)
		}
		full := w.fill(l, now)
		pause := w.cfg.Poll
		if wait := l.resume.Sub(now); wait > 0 {
			pause = wait
		}
		if full && l.free > 0 {
			continue // there may be more
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-w.wake:
		case r := <-w.results:
			w.ended(l, r)
		case <-w.stopped.Done():
		}
		timer.Stop()
	}
}

// fill gives the free senders work and reports whether there was enough of it.
func (w *Worker) fill(l *loop, now time.Time) bool {
	n := l.free
	if l.failures > 0 {
		n = min(n, max(0, l.free-w.cfg.Senders+1)) // one mail tries whether the server is back
	}
	if n == 0 || now.Before(l.resume) {
		return false
	}
	lease := rand.Text()
	ctx, cancel := context.WithTimeout(w.stopped, storeTimeout)
	defer cancel()
	rows, err := w.cfg.Store.Lease(ctx, lease, now, now.Add(w.cfg.Timeout+margin), n)
	if err != nil {
		if w.stopped.Err() == nil {
			w.cfg.Logger.Warn("mail: the outbox cannot be read", "err", err)
		}
		return false
	}
	for _, r := range rows {
		l.free--
		w.running.Go(func() { w.results <- w.deliver(r, lease) })
	}
	return len(rows) == n
}

// ended takes note of a result: after one that speaks of the server, it is left alone
// for a while.
func (w *Worker) ended(l *loop, r result) {
	l.free++
	switch r.outcome {
	case unreachable:
		if l.failures == 0 {
			w.cfg.Logger.Error("mail: the mail server cannot be used; mails wait", "reason", r.reason)
		}
		l.resume = time.Now().Add(backoff(minPause, maxPause, l.failures))
		l.failures++
	case sent, deferred, refused: // it talks
		if l.failures > 0 {
			w.cfg.Logger.Info("mail: the mail server can be used again")
		}
		l.failures, l.resume = 0, time.Time{}
	}
}

// backoff doubles from low to high with the number of failures before, less up
// to a quarter at random.
func backoff(low, high time.Duration, before int) time.Duration {
	d := high
	if before < 16 {
		d = min(high, low<<before)
	}
	return d - time.Duration(mathrand.Int64N(int64(d)/4+1))
}

// deliver sends one row and notes how that ended.
func (w *Worker) deliver(r Row, lease string) result {
	start := time.Now()
	err := w.send(r, start)
	res := result{outcome: sent}
	if f := (*failure)(nil); errors.As(err, &f) {
		res = result{f.outcome, f.reason}
	} else if err != nil {
		res = result{unreachable, "unknown"}
	}
	if w.aborted.Err() != nil && res.outcome != sent {
		res = result{outcome: broken}
	}
	name := string(r.Template)
	if !slices.Contains(Templates(), r.Template) {
		name = "other"
	}
	w.metrics.outcomes.WithLabelValues(name, string(res.outcome)).Inc()
	w.note(r, lease, res, start)
	return res
}

func (w *Worker) send(r Row, now time.Time) error {
	if !r.Expires.IsZero() && !now.Before(r.Expires) {
		return &failure{outcome: expired, reason: "expired"}
	}
	m, err := w.cfg.Sealer.open(r)
	if err != nil {
		return &failure{outcome: unreadable, reason: "sealed with another secret"}
	}
	if m.Decoy {
		return &failure{outcome: decoy}
	}
	text, err := w.renderer.render(r.ID, m)
	if err != nil {
		return &failure{outcome: unreadable, reason: "cannot be written"}
	}
	ctx, cancel := context.WithTimeout(w.aborted, w.cfg.Timeout)
	defer cancel()
	return w.driver.send(ctx, text)
}

// note writes down how a row's sending ended, again and again while the lease
// lasts: a mail that was sent and is not noted is sent twice.
func (w *Worker) note(r Row, lease string, res result, start time.Time) {
	log := w.cfg.Logger.With("mail", r.ID, "template", string(r.Template), "attempts", r.Attempts+1)
	var write func(context.Context) error
	switch res.outcome {
	case sent:
		w.metrics.seconds.Observe(time.Since(r.Created).Seconds())
		log.Debug("mail: sent", "seconds", time.Since(start).Seconds())
		write = func(ctx context.Context) error { return w.cfg.Store.Done(ctx, r.ID, lease) }
	case decoy:
		write = func(ctx context.Context) error { return w.cfg.Store.Done(ctx, r.ID, lease) }
	case deferred:
		due := time.Now().Add(backoff(minRetry, patience(r), r.Attempts))
		log.Warn("mail: deferred", "reason", res.reason)
		write = func(ctx context.Context) error { return w.cfg.Store.Retry(ctx, r.ID, lease, due, r.Attempts+1) }
	case unreachable, broken: // as if it had not been tried
		write = func(ctx context.Context) error { return w.cfg.Store.Retry(ctx, r.ID, lease, time.Now(), r.Attempts) }
	default:
		log.Warn("mail: given up", "outcome", string(res.outcome), "reason", res.reason)
		write = func(ctx context.Context) error { return w.cfg.Store.Bury(ctx, r.ID, lease, time.Now(), res.reason) }
	}
	if err := w.insist(write, start.Add(w.cfg.Timeout+margin)); err != nil {
		log.Error("mail: the outbox cannot be written", "outcome", string(res.outcome), "err", err)
	}
}

// patience is the longest pause between two tries of a row: short for what expires soon.
func patience(r Row) time.Duration {
	if r.Expires.IsZero() {
		return maxRetry
	}
	return min(maxRetry, max(minRetry, time.Until(r.Expires)/4))
}

// insist calls write until it does not fail, up to deadline, and once at least.
// During Close it does not try again.
func (w *Worker) insist(write func(context.Context) error, deadline time.Time) error {
	for before := 0; ; before++ {
		limit := storeTimeout
		if w.stopped.Err() != nil {
			limit = closing
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		err := write(ctx)
		cancel()
		pause := backoff(minPause/4, 4*time.Second, before)
		if err == nil || errors.Is(err, ErrLost) || time.Now().Add(pause).After(deadline) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-w.stopped.Done():
			return err
		}
	}
}

// look measures the backlog and prunes dead letters.
func (w *Worker) look(now time.Time) {
	ctx, cancel := context.WithTimeout(w.stopped, storeTimeout)
	defer cancel()
	b, err := w.cfg.Store.Backlog(ctx)
	if err == nil {
		w.metrics.waiting.Set(float64(b.Waiting))
		w.metrics.buried.Set(float64(b.Dead))
		age := 0.0
		if !b.Oldest.IsZero() {
			age = max(0, now.Sub(b.Oldest).Seconds())
		}
		w.metrics.oldest.Set(age)
		err = w.cfg.Store.Prune(ctx, now.Add(-w.cfg.KeepDead))
	}
	if err != nil && w.stopped.Err() == nil {
		w.cfg.Logger.Warn("mail: the outbox cannot be read", slog.Any("err", err))
	}
}

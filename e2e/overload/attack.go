package overload

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rondo-chat/rondo/protocol"
)

// order is what an attacking process is to do.
type order struct {
	Kind string // slow, loris or storm
	Addr string
	N    int
	From int // first address
}

// report is a line that an attacking process writes after each step.
type report struct {
	Step   string
	Counts map[string]int `json:",omitempty"`

	// Of all clients of the step: how long each needed.
	P50, P99, Max time.Duration
	Failures      []string `json:",omitempty"`
}

func (r *report) String() string {
	s := fmt.Sprintf("%s: p50 %v, p99 %v, max %v", r.Step, round(r.P50), round(r.P99), round(r.Max))
	if len(r.Counts) > 0 {
		s += fmt.Sprintf(", %v", r.Counts)
	}
	return s
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// perAddress is how many attackers share an address: few enough for the limits per
// address, which are the defaults.
const perAddress = 10

// attack is the attacking process. It does a step for each line that it reads and
// ends with its input; the kernel then closes what is open.
type attack struct {
	order
	in  *bufio.Scanner
	out *json.Encoder

	mu  sync.Mutex
	now report
	d   []time.Duration
}

// runAttack is the life of an attacking process.
func runAttack(ctx context.Context, text string, in io.Reader, out io.Writer) error {
	a := &attack{in: bufio.NewScanner(in), out: json.NewEncoder(out)}
	if err := json.Unmarshal([]byte(text), &a.order); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	steps := map[string]func(context.Context, *attack){"slow": slow, "loris": loris, "storm": storm}[a.Kind]
	if steps == nil {
		return fmt.Errorf("no attack %q", a.Kind)
	}
	steps(ctx, a)
	return nil
}

// told waits for the next order and reports whether it is step.
func (a *attack) told(step string) bool { return a.in.Scan() && a.in.Text() == step }

func (a *attack) address(i int) int { return a.From + i/perAddress }

// count counts an event of the present step.
func (a *attack) count(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now.Counts == nil {
		a.now.Counts = map[string]int{}
	}
	a.now.Counts[what]++
}

func (a *attack) took(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.d = append(a.d, d)
}

func (a *attack) failed(format string, args ...any) {
	a.count("failed")
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.now.Failures) < 5 {
		a.now.Failures = append(a.now.Failures, fmt.Sprintf(format, args...))
	}
}

// done ends a step.
func (a *attack) done(step string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now.Step = step
	a.now.P50, a.now.P99, a.now.Max = quantile(a.d, .5), quantile(a.d, .99), quantile(a.d, 1)
	_ = a.out.Encode(&a.now) // whoever reads it is gone: so will we be
	a.now, a.d = report{}, nil
}

// all runs f for each of n, at most at at once (0: all), and waits.
func all(n, at int, f func(i int)) {
	var g errgroup.Group
	if at > 0 {
		g.SetLimit(at)
	}
	for i := range n {
		g.Go(func() error { f(i); return nil })
	}
	_ = g.Wait()
}

// enter opens a session as an SDK does that is told to come later.
func (a *attack) enter(ctx context.Context, i, receive int, first func(*wire) (*message, error)) (*wire, *message, error) {
	for wait := 500 * time.Millisecond; ; wait = min(2*wait, 30*time.Second) {
		w, m, err := a.try(ctx, i, receive, first)
		if err == nil {
			return w, m, nil
		}
		retry := wait
		if no, ok := errors.AsType[*refused](err); ok {
			a.count(fmt.Sprintf("refused %d", no.status))
			retry = no.retry
		} else {
			a.count("tried again")
		}
		if ctx.Err() != nil || !pause(ctx, retry) {
			return nil, nil, err
		}
	}
}

func (a *attack) try(ctx context.Context, i, receive int, first func(*wire) (*message, error)) (*wire, *message, error) {
	w, err := dial(ctx, a.Addr, a.address(i), receive)
	if err != nil {
		return nil, nil, err
	}
	m, err := first(w)
	if err == nil && m.E != nil && m.E.Code == protocol.CodeUnavailable {
		err = &refused{0, time.Duration(m.E.RetryMS) * time.Millisecond}
	} else if err == nil && m.E != nil {
		err = fmt.Errorf("%s: %s", m.E.Code, m.E.Msg)
	}
	if err != nil {
		w.c.Close()
		return nil, nil, err
	}
	return w, m, nil
}

func (a *attack) helloAs(i int) func(*wire) (*message, error) {
	return func(w *wire) (*message, error) { return w.hello(fmt.Sprintf("%s%d", a.Kind, i)) }
}

// tiny is a receive buffer that is full at once; the kernel has its own minimum.
const tiny = 1 << 10

// slow: of N clients that said hello, half sit in rooms and never read while their
// partners flood them within the limits; a quarter is silent and never answers a
// ping; a quarter sends one byte a second.
func slow(ctx context.Context, a *attack) {
	var floods []*flood
	var drips []*wire
	var mu sync.Mutex
	all(a.N, 32, func(i int) {
		began := time.Now()
		w, _, err := a.enter(ctx, i, tiny, a.helloAs(i))
		if err != nil {
			a.failed("%v", err)
			return
		}
		switch i % 4 {
		case 0, 1:
			f, err := a.newFlood(ctx, w, i)
			if err != nil {
				a.failed("flood: %v", err)
				return
			}
			mu.Lock()
			floods = append(floods, f)
			mu.Unlock()
		case 3:
			mu.Lock()
			drips = append(drips, w)
			mu.Unlock()
		}
		a.took(time.Since(began))
	})
	a.done("up")
	go pour(ctx, floods)
	go drip(ctx, drips)
	a.told("stop")
	for _, f := range floods {
		if f.over.Load() {
			a.count(dropped)
		}
	}
	a.done("stop")
	a.told("exit")
}

// dropped counts deaf clients that the server dropped.
const dropped = "dropped"

// flood is somebody who sends all that the limits allow to a partner who does not read.
type flood struct {
	w     *wire
	big   []byte // a frame of 16 KiB: 4 a second are the limit of bytes
	small []byte // a frame: 50 a second are the limit of signals
	over  atomic.Bool
}

// newFlood lets the deaf client find a flooder.
func (a *attack) newFlood(ctx context.Context, deaf *wire, i int) (*flood, error) {
	w, _, err := a.enter(ctx, a.N+i, 0, a.helloAs(a.N+i))
	if err != nil {
		return nil, err
	}
	var room protocol.RoomID
	for _, k := range []*wire{deaf, w} {
		if err := k.send(`{"t":"match.find","d":{"tags":["flood%d"],"strict":true}}`, i); err != nil {
			return nil, err
		}
	}
	for _, k := range []*wire{deaf, w} {
		m, err := k.until(func(m *message) bool { return m.T == protocol.TypeMatchFound })
		if err != nil {
			return nil, err
		}
		room = m.Room
	}
	f := &flood{w: w}
	const text = `{"t":"signal","a":1,"room":%q,"kind":"offer","d":{"sdp":%q}}`
	f.big = frame(nil, fmt.Sprintf(text, room, strings.Repeat("x", 16<<10-200)))
	f.small = frame(nil, fmt.Sprintf(text, room, "x"))
	go f.read()
	return f, nil
}

// read reads until the partner is gone.
func (f *flood) read() {
	for {
		b, err := f.w.next()
		if err != nil {
			f.over.Store(true)
			return
		}
		var m message
		if err := json.Unmarshal(b, &m); err != nil || m.T == protocol.TypePeerReconnecting || m.T == protocol.TypePeerLeft {
			f.over.Store(true)
		}
	}
}

// pour floods: most use up their bytes, one in ten its messages. At first all use
// up the burst that they are allowed.
func pour(ctx context.Context, floods []*flood) {
	for i, f := range floods {
		at, n := f.big, 30 // 480 of 512 KiB
		if i%10 == 0 {
			at, n = f.small, 190 // of 200
		}
		for range n {
			_, _ = f.w.c.Write(at) // closed: read sees it
		}
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for i, f := range floods {
			if f.over.Load() {
				continue
			}
			if i%10 == 0 {
				for range 5 {
					_, _ = f.w.c.Write(f.small)
				}
			} else if (i+n)%3 == 0 {
				_, _ = f.w.c.Write(f.big)
			}
		}
	}
}

// drip sends a large message one byte a second.
func drip(ctx context.Context, list []*wire) {
	whole := frame(nil, `{"t":"stats","d":"`+strings.Repeat("x", 1<<10))
	for _, b := range whole {
		for _, w := range list {
			_, _ = w.c.Write([]byte{b}) // closed: fine
		}
		if !pause(ctx, time.Second) {
			return
		}
	}
}

// loris: N connections that never come to a session. It waits until the server has
// closed them all.
func loris(ctx context.Context, a *attack) {
	up, over := make(chan struct{}), make(chan struct{})
	var open sync.WaitGroup
	open.Add(a.N)
	go func() {
		defer close(over)
		all(a.N, 0, func(i int) { a.loris(ctx, i, &open) })
	}()
	go func() { open.Wait(); close(up) }()
	<-up
	a.done("up")
	select {
	case <-over:
	case <-ctx.Done():
	}
	a.done("over")
	a.told("exit")
}

// script is what a slow connection sends at once, and what byte by byte.
type script struct{ name, at, slowly string }

func scripts(host string) []script {
	req := request(host)
	head := strings.TrimSuffix(req, "\r\n")
	plain := "GET / HTTP/1.1\r\nHost: " + host + "\r\n"
	return []script{
		{"nothing", "", ""},
		{"request", "", strings.Repeat(req, 10)},
		{"headers", head, strings.Repeat("X-Slow: 1\r\n", 100)},
		{"body", plain + "Content-Length: 100000\r\n\r\n", strings.Repeat("x", 1000)},
		{"tls", "", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 1000)},
		{"frame", req, string(frame(nil, strings.Repeat("x", 1000)))},
		{"nohello", req, ""},
		{"deaf", plain + "\r\n" + strings.Repeat(strings.Replace(plain, "/ ", "/sdk/rondo.js ", 1)+"\r\n", 40), ""},
	}
}

// loris is one connection; it counts how long the server bore it.
func (a *attack) loris(ctx context.Context, i int, open *sync.WaitGroup) {
	list := scripts(a.Addr)
	s := list[i%len(list)]
	d := dialer(a.address(i), tiny)
	c, err := d.DialContext(ctx, "tcp", a.Addr)
	if err == nil {
		_, err = io.WriteString(c, s.at)
	}
	began := time.Now()
	open.Done()
	if err != nil {
		a.failed("%s: %v", s.name, err)
		return
	}
	defer c.Close()
	ended := make(chan struct{})
	go func() {
		for j := range len(s.slowly) {
			if _, err := io.WriteString(c, s.slowly[j:j+1]); err != nil {
				return
			}
			select {
			case <-ended:
				return
			case <-time.After(500 * time.Millisecond):
			}
		}
	}()
	_ = c.SetReadDeadline(began.Add(lorisTime))
	if s.name == "deaf" {
		a.deaf(ctx, c)
	} else {
		_, err = io.Copy(io.Discard, c)
	}
	close(ended)
	took := time.Since(began)
	if took >= lorisTime {
		a.failed("%s: still open after %v", s.name, round(took))
	}
	a.count(s.name)
	a.took(took)
	_ = err // an end is an end
}

// lorisTime is how long the server may bear a connection that comes to nothing:
// the longest of its limits, which is for answers that nobody reads, and slack.
const lorisTime = 45 * time.Second

// deaf never reads. That the server has given up shows when sending fails.
func (a *attack) deaf(ctx context.Context, c io.Writer) {
	ctx, cancel := context.WithTimeout(ctx, lorisTime)
	defer cancel()
	for {
		if _, err := io.WriteString(c, "x"); err != nil || !pause(ctx, time.Second) {
			return
		}
	}
}

// storm: N clients that come at once; then all sockets are cut at once and all come
// back with their tokens; then all say bye.
func storm(ctx context.Context, a *attack) {
	list := make([]*stormer, a.N)
	a.step("in", func(i int) error {
		w, m, err := a.enter(ctx, i, 0, a.helloAs(i))
		if err != nil {
			return err
		}
		list[i] = &stormer{w: w}
		return list[i].keep(m)
	})
	if !a.told("cut") {
		return
	}
	for _, s := range list {
		if s != nil {
			s.w.cut()
		}
	}
	a.step("back", func(i int) error {
		s := list[i]
		if s == nil {
			return nil // counted before
		}
		w, m, err := a.enter(ctx, i, 0, func(w *wire) (*message, error) {
			return w.ask(1, `{"t":"resume","id":1,"d":{"token":%q,"seq":0}}`, s.token)
		})
		if err != nil {
			return err
		}
		s.w = w
		return s.keep(m)
	})
	if !a.told("bye") {
		return
	}
	a.step("gone", func(i int) error {
		if list[i] == nil {
			return nil
		}
		w := list[i].w
		defer w.c.Close()
		if err := w.send(`{"t":"bye"}`); err != nil {
			return err
		}
		_, err := w.until(func(*message) bool { return false })
		if c, ok := errors.AsType[*closed](err); ok && c.code == protocol.CloseBye {
			return nil
		}
		return err
	})
	a.told("exit")
}

// step lets all do f at the same moment and reports how long each needed.
func (a *attack) step(name string, f func(i int) error) {
	began := time.Now()
	all(a.N, 0, func(i int) {
		if err := f(i); err != nil {
			a.failed("%v", err)
			return
		}
		a.took(time.Since(began))
	})
	a.done(name)
}

// stormer is one client of a storm.
type stormer struct {
	w     *wire
	sid   protocol.SessionID
	token string
}

// keep takes the token of a welcome or resumed, which must be for the same session.
func (s *stormer) keep(m *message) error {
	var d struct {
		SID    protocol.SessionID
		Resume protocol.ResumeInfo
	}
	if err := json.Unmarshal(m.D, &d); err != nil {
		return err
	}
	if d.SID == "" || s.sid != "" && d.SID != s.sid {
		return fmt.Errorf("session %q instead of %q", d.SID, s.sid)
	}
	s.sid, s.token = d.SID, d.Resume.Token
	return nil
}

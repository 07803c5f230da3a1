package table

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/client/bench/wire"
	"github.com/rondo-chat/rondo/protocol"
)

// audience is a room whose members hear what one of them says.
type audience struct {
	*process
	all   []*speaker
	topic string // "": a reference's
	said  int
}

// writers say something in turn: the service limits what one may say.
const writers = 10

// fanout compares what a delivery costs: with many members less with few, for each of those who make the
// difference. What is done once for a message is left out so, most of it the transaction that keeps it.
func (g *group) fanout(ctx context.Context) error {
	const few = writers
	many := g.size(1000, 100)
	s, err := g.rondo(ctx)
	if err != nil {
		return err
	}
	login, err := g.administrator(ctx, s)
	if err != nil {
		return err
	}
	var ours, bare [2]*audience
	for i, n := range []int{few, many} {
		if ours[i], err = g.topic(ctx, s, login, i*few, n); err != nil {
			return err
		}
		if bare[i], err = g.listeners(ctx, n); err != nil {
			return err
		}
	}
	return g.rounds(ctx, func(int) error {
		if err := g.breathe(ctx); err != nil { // one may write three messages a second
			return err
		}
		for _, v := range []struct {
			name     string
			messages int
			at       int
		}{{"one at a time, for each delivery", g.size(20, 10), 1}, {"eight at once, for each delivery", g.size(40, 16), 8}} {
			oneOurs, allOurs, err := perDelivery(ctx, ours, v.messages, v.at)
			if err != nil {
				return err
			}
			oneBare, allBare, err := perDelivery(ctx, bare, v.messages, v.at)
			if err != nil {
				return err
			}
			g.add(v.name, oneOurs, oneBare)
			if v.at == 1 {
				g.add("the same with the message on disk, one at a time", allOurs, allBare)
			}
		}
		return g.fanoutAllocations(ctx, s, ours)
	})
}

// perDelivery returns the microseconds of CPU that each further member costs, and what a message costs altogether
// for each of the many.
func perDelivery(ctx context.Context, sizes [2]*audience, messages, atOnce int) (further, altogether float64, err error) {
	var cost [2]float64 // of a message
	for i, a := range sizes {
		used, err := a.during(func() error { return a.say(ctx, messages, atOnce) })
		if err != nil {
			return 0, 0, err
		}
		cost[i] = float64(used.Nanoseconds()) / 1000 / float64(messages)
	}
	few, many := float64(len(sizes[0].all)), float64(len(sizes[1].all))
	return (cost[1] - cost[0]) / (many - few), cost[1] / many, nil
}

// fanoutAllocations counts what the server allocates for each further member.
func (g *group) fanoutAllocations(ctx context.Context, s *server, sizes [2]*audience) error {
	const messages = 10
	var objects [2]float64
	for i, a := range sizes {
		var err error
		if objects[i], err = s.allocates(ctx, func() error { return a.say(ctx, messages, 1) }); err != nil {
			return err
		}
	}
	further := float64(len(sizes[1].all) - len(sizes[0].all))
	g.add("allocations for each delivery", (objects[1]-objects[0])/messages/further, 0)
	return nil
}

// say lets members say so many messages, some at once, until all have heard all.
func (a *audience) say(ctx context.Context, messages, atOnce int) error {
	first := a.said
	a.said += messages
	var heard sync.WaitGroup
	ears := make([]chan struct{}, messages) // closed when all have heard the message
	left := make(chan int, messages*len(a.all))
	for i := range ears {
		ears[i] = make(chan struct{})
	}
	errs := make([]error, len(a.all)+1)
	for i, s := range a.all {
		heard.Go(func() { errs[i] = a.hear(s, first, messages, left) })
	}
	over := make(chan struct{})
	go func() { heard.Wait(); close(over) }()
	missing := make([]int, messages)
	for i := range missing {
		missing[i] = len(a.all)
	}
	next, done := 0, 0
	for ; next < atOnce && next < messages; next++ {
		errs[len(a.all)] = errors.Join(errs[len(a.all)], a.speak(first+next))
	}
	for done < messages {
		select {
		case i := <-left:
			if missing[i]--; missing[i] > 0 {
				continue
			}
			done++
			if next < messages {
				errs[len(a.all)] = errors.Join(errs[len(a.all)], a.speak(first+next))
				next++
			}
		case <-over:
			if len(left) > 0 {
				continue
			}
			return errors.Join(firstOf(errs), fmt.Errorf("table: %d of %d messages were heard by all", done, messages))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	<-over
	return firstOf(errs)
}

// messageBytes is how long a message is when it arrives.
const messageBytes = 500

// speak sends the n-th message, from one writer after another.
func (a *audience) speak(n int) error {
	const event = 295 // what an event has beside its text
	d := fmt.Sprintf(`{"cid":"bench-%09d","text":"%s"}`, n, strings.Repeat("x", messageBytes-event))
	if a.topic == "" {
		return a.all[n%writers].Send(append(bytes.Repeat([]byte(" "), messageBytes-len(d)), d...))
	}
	return a.all[n%writers].request(protocol.TypeConvSend, a.topic, d)
}

// hear reads until the member has heard messages, and tells which.
func (a *audience) hear(s *speaker, first, messages int, told chan<- int) error {
	if err := s.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	mark := []byte(`"cid":"bench-`)
	for range messages {
		raw, err := a.event(s, mark)
		if err != nil {
			return err
		}
		_, rest, _ := bytes.Cut(raw, mark)
		n := 0
		for _, d := range rest[:min(9, len(rest))] {
			n = 10*n + int(d-'0')
		}
		if n < first || n >= first+messages {
			return fmt.Errorf("table: message %d, which was not said now", n)
		}
		told <- n - first
	}
	return nil
}

// event reads the next event with a message; its writer's answer has one too.
func (a *audience) event(s *speaker, mark []byte) ([]byte, error) {
	for {
		raw, err := s.take(mark)
		if err != nil || a.topic == "" || bytes.HasPrefix(raw, []byte(`{"t":"conv.event"`)) {
			return raw, err
		}
	}
}

// listeners are the members of a plain broadcast.
func (g *group) listeners(ctx context.Context, n int) (*audience, error) {
	p, err := g.reference("broadcast", false)
	if err != nil {
		return nil, err
	}
	all, err := g.crowd(ctx, n, func(i int) (*speaker, error) { return bare(ctx, p, i) })
	return &audience{process: p, all: all}, err
}

// topic makes a topic that n guests have open; they come from addresses from the from-th on.
func (g *group) topic(ctx context.Context, s *server, login string, from, n int) (*audience, error) {
	var room struct{ ID string }
	if err := s.post(ctx, "/api/v1/conversations", login, protocol.ConvCreate{Kind: protocol.ConvTopic, Writers: protocol.WriteEveryone, Name: fmt.Sprint("Trains ", from)}, &room); err != nil {
		return nil, err
	}
	a := &audience{process: s.process, topic: room.ID}
	var err error
	if a.all, err = g.crowd(ctx, n, func(i int) (*speaker, error) { return guest(ctx, s, from+i) }); err != nil {
		return nil, err
	}
	err = each(n, func(i int) error {
		return a.all[i].ask(protocol.TypeConvOpen, a.topic, `{"limit":1}`)
	})
	return a, err
}

// administrator makes one and returns an access token.
func (g *group) administrator(ctx context.Context, s *server) (string, error) {
	const password = "correct horse battery bench"
	file := filepath.Join(s.data, "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, g.cfg.Rondo, "admin", "create", "--data", filepath.Join(s.data, "data"),
		"--email", "bench@example.org", "--username", "bench", "--password-file", file).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("rondo admin create: %w: %s", err, out)
	}
	var login struct {
		AccessToken string `json:"access_token"`
	}
	err = s.post(ctx, "/api/v1/auth/login", "", map[string]any{"login": "bench", "password": password, "device": "bench", "bearer": true}, &login)
	return login.AccessToken, err
}

// post sends JSON to the server and takes the answer apart.
func (s *server) post(ctx context.Context, path, token string, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.ready.HTTP+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	web := http.Client{Transport: &http.Transport{DialContext: wire.From(-1).DialContext, DisableKeepAlives: true}}
	resp, err := web.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s: %s", path, resp.Status, text)
	}
	return json.Unmarshal(text, answer)
}

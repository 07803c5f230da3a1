package conversations

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// town is a service of two nodes with a database and a Redis, and topics for guests.
type town struct {
	t     *testing.T
	plan  plan
	store conversations.Store
	db    *testenv.SQLServer
	redis *testenv.RedisServer
	opts  lab.Options
	rooms []protocol.RoomID

	mu    sync.Mutex
	nodes [2]*lab.Node
}

func newTown(t *testing.T, p plan) *town {
	w := &town{t: t, plan: p, db: testenv.PostgresServer(t), redis: testenv.Redis(t)}
	w.opts = lab.Options{Redis: w.redis.URL, Secret: filepath.Join(t.TempDir(), "secret"), Args: []string{"--database", w.db.URL}}
	for i := range w.nodes {
		w.nodes[i] = lab.Start(t, w.opts)
	}
	db, err := database.Open(t.Context(), database.Config{URL: w.db.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // the test is over
	w.store = sqlstore.New(db)
	now := time.Now().UnixMilli()
	for i := range p.rooms {
		id := protocol.RoomID(fmt.Sprintf("c_%026d", i))
		err := w.store.Write(t.Context(), "test", func(tx conversations.Tx) error {
			return tx.InsertConversation(conversations.Row{Conversation: protocol.Conversation{ID: id, Kind: protocol.ConvTopic,
				Name: fmt.Sprintf("Topic %d", i), Writers: protocol.WriteEveryone, Guests: true, Created: now, Active: now}})
		})
		if err != nil {
			t.Fatal(err)
		}
		w.rooms = append(w.rooms, id)
	}
	return w
}

// node returns the i-th node that runs now.
func (w *town) node(i int) *lab.Node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes[i%len(w.nodes)]
}

// kill ends a node with SIGKILL and starts another one.
func (w *town) kill(i int) {
	old := w.node(i)
	old.Kill()
	fresh := lab.Start(w.t, w.opts)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[i%len(w.nodes)] = fresh
}

// dial connects to a node that runs, whichever it is: a load balancer.
func (w *town) dial(i int) func(context.Context, string, string) (net.Conn, error) {
	from := lab.DialFrom(i)
	var turn atomic.Int32
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		n := w.node(i + int(turn.Add(1)))
		return from(ctx, network, strings.TrimPrefix(n.URL(), "http://"))
	}
}

// inhabitant is a person with the views of the rooms that it is in.
type inhabitant struct {
	*author
	w     *town
	c     *client.Client
	views []*client.View
}

func (w *town) settle(i int, seed uint64) *inhabitant {
	p := &inhabitant{author: newAuthor(i, seed), w: w}
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	c, err := client.Dial(ctx, w.node(i).WS(), client.Options{Name: p.name, NetDial: w.dial(i), Queue: 4096, BackoffMin: 100 * time.Millisecond, BackoffMax: 2 * time.Second})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	p.c, p.id = c, c.Welcome().User.ID
	go func() {
		for range c.Events() { // views take what matters
		}
	}()
	for k := range 2 {
		v, err := c.Conversation(w.rooms[(i+k*(1+i%(len(w.rooms)-1)))%len(w.rooms)]).View(ctx, client.ViewOptions{Keep: -1})
		if err != nil {
			w.t.Fatal(err)
		}
		p.views = append(p.views, v)
	}
	return p
}

// patience is how long anything is tried again before it counts as lost.
const patience = 2 * time.Minute

// insist does something until it is acknowledged, as an app does for its user.
func (p *inhabitant) insist(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := do(ctx)
		if e, ok := errors.AsType[*protocol.Error](err); err == nil || ok && e.Code != protocol.CodeUnavailable && e.Code != protocol.CodeRateLimited && e.Code != protocol.CodeInternal {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", ctx.Err(), err)
		case <-time.After(100*time.Millisecond + rand.N(400*time.Millisecond)):
		}
	}
}

// live says what the plan wants of this person.
func (p *inhabitant) live(ctx context.Context) error {
	for n := range p.w.plan.each {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(p.draw.Int64N(int64(2 * p.w.plan.pause)))):
		}
		v := p.views[p.draw.IntN(len(p.views))]
		if err := p.say(ctx, v, n); err != nil {
			return fmt.Errorf("%s: message %d: %w", p.name, n, err)
		}
		if p.draw.IntN(10) == 0 {
			if err := p.change(ctx); err != nil {
				return fmt.Errorf("%s: a change: %w", p.name, err)
			}
		}
	}
	return nil
}

func (p *inhabitant) say(ctx context.Context, v *client.View, n int) error {
	s := protocol.ConvSend{CID: fmt.Sprintf("m%d", n), Text: fmt.Sprintf("%s says %d", p.name, n)}
	return p.insist(ctx, func(ctx context.Context) error {
		sent, err := v.Conversation.Send(ctx, s)
		if err == nil {
			p.words = append(p.words, &word{room: v.Room, seq: sent.Message.Seq, cid: s.CID, text: s.Text})
		}
		return err
	})
}

// change edits, deletes or likes something of one's own.
func (p *inhabitant) change(ctx context.Context) error {
	w := p.own()
	if w == nil {
		return nil
	}
	conv := p.c.Conversation(w.room)
	kind, text := p.draw.IntN(3), fmt.Sprintf("%s, changed", w.text)
	return p.insist(ctx, func(ctx context.Context) (err error) {
		switch kind {
		case 0:
			if _, err = conv.Edit(ctx, w.seq, text); err == nil {
				w.text = text
			}
		case 1:
			if _, err = conv.Delete(ctx, w.seq); err == nil {
				w.deleted = true
			}
		default:
			if _, err = conv.React(ctx, w.seq, "👍", true); err == nil {
				w.liked = true
			}
		}
		return err
	})
}

// differs says what a view shows that is not the record; "" if it is the same.
func (rec record) differs(v *client.View) string {
	if v.Seq() != rec.seq {
		return fmt.Sprintf("it knows up to %d of %d", v.Seq(), rec.seq)
	}
	all, older := v.Messages()
	if older {
		return "it has lost its oldest messages"
	}
	if len(all) != len(rec.messages) {
		return fmt.Sprintf("%d messages of %d", len(all), len(rec.messages))
	}
	for _, m := range all {
		is := rec.messages[m.Seq]
		if m.Rev != is.Rev || m.Text != is.Text || m.From != is.From || m.CID != is.CID || m.Deleted != is.Deleted || len(m.Reactions) != len(is.Reactions) {
			return fmt.Sprintf("it shows %+v, which is %+v", m, is)
		}
	}
	return ""
}

// settled waits until the view shows the record, and says what differs if it does not.
func (rec record) settled(v *client.View, within time.Duration) (diff string) {
	over := time.After(within)
	for {
		if diff = rec.differs(v); diff == "" {
			return ""
		}
		select {
		case <-over:
			return diff
		case <-v.Changed():
		}
	}
}

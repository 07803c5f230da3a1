package conversations_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/conversations/viewtest"
	"github.com/rondo-chat/rondo/chat/rediscache/rediscachetest"
	"github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// TestReaders: while others write at once on two nodes, send, edit, delete, react, pin, come and go, rename, forget and let messages
// expire, a reader on a good line has by events alone what a fresh read gives; one whose line is bad, who hears events twice and
// in any order, reconnects and takes another device, has it after Sync.
func TestReaders(t *testing.T) {
	for range 2 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("sqlite-memory-%d", seed), func(t *testing.T) {
			t.Parallel()
			newWalk(t, seed, nil, nil).run()
		})
	}
}

// TestReadersEverywhere: the same over all databases, with the cache in Redis, which is emptied now and then.
func TestReadersEverywhere(t *testing.T) {
	server := testenv.Redis(t)
	for name, url := range map[string]func(testing.TB) string{"sqlite": nil, "postgres": testenv.Postgres, "mariadb": testenv.MariaDB} {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("%s-redis-%d", name, seed), func(t *testing.T) {
			caches := func() conversations.Cache { return rediscachetest.Open(t, server, name+":") }
			var store conversations.Store
			if url != nil {
				store = storeAt(t, url(t))
			}
			w := newWalk(t, seed, store, caches)
			w.flush = func() { rediscachetest.Flush(t, server) }
			w.run()
		})
	}
}

func storeAt(t testing.TB, url string) conversations.Store {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{URL: url, Timeout: 30 * time.Second, SlowQuery: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := sqlstore.New(db)
	if err := s.Migrate(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	return s
}

// journey is one random plan.
type journey struct {
	*house
	t       *testing.T
	seed    uint64
	nodes   []*conversations.Conversations
	bare    *conversations.Conversations // without a cache
	room    protocol.RoomID
	writers []conversations.Caller
	readers []conversations.Caller // they stay
	flush   func()
	steps   chan struct{} // a writer has done something
	done    chan struct{} // the writers are
}

func newWalk(t *testing.T, seed uint64, store conversations.Store, caches func() conversations.Cache) *journey {
	t.Helper()
	j := &journey{t: t, seed: seed, steps: make(chan struct{}), done: make(chan struct{}), flush: func() {}}
	j.house = open(t, func(cfg *conversations.Config) {
		if store != nil {
			cfg.Store = store
		}
		if caches != nil {
			cfg.Cache = caches()
		}
	})
	j.nodes = []*conversations.Conversations{j.Conversations}
	if caches != nil {
		j.cfg.Cache = caches()
	}
	j.nodes = append(j.nodes, j.node("n2"))
	j.cfg.Cache = nil
	j.bare = j.node("n3")
	for _, name := range []string{"owner", "mod", "ann", "ben", "cat"} {
		j.writers = append(j.writers, j.user(name))
	}
	for _, name := range []string{"eve", "fay", "gus"} {
		j.readers = append(j.readers, j.user(name))
	}
	if seed%2 == 0 {
		j.room = j.group(slices.Concat(j.writers, j.readers)...)
		return j
	}
	j.room = j.create(j.writers[0], protocol.ConvCreate{Kind: protocol.ConvTopic})
	for _, who := range slices.Concat(j.writers[1:], j.readers) {
		j.must(second(j.Join(t.Context(), who, j.room, "")))
	}
	j.must(second(j.SetRole(t.Context(), j.writers[0], j.room, "u_mod", protocol.ConvModerator)))
	return j
}

func (j *journey) run() {
	var writing, reading sync.WaitGroup
	for i := range 3 {
		rng := rand.New(rand.NewPCG(j.seed, uint64(i)))
		writing.Go(func() {
			for range 45 {
				if err := j.write(rng); err != nil && !refused(err) {
					j.t.Errorf("seed %d: %v", j.seed, err)
				}
				select {
				case j.steps <- struct{}{}:
				default: // nobody waits
				}
			}
		})
	}
	for i, who := range j.readers {
		rng := rand.New(rand.NewPCG(j.seed, uint64(100+i)))
		reading.Go(func() {
			if err := j.read(rng, who, i); err != nil {
				j.t.Errorf("seed %d, reader %d: %v", j.seed, i, err)
			}
		})
	}
	writing.Wait()
	close(j.done)
	reading.Wait()
}

// refused: what was asked at random may not be.
func refused(err error) bool {
	return slices.Contains([]protocol.Code{protocol.CodeNotFound, protocol.CodeForbidden, protocol.CodeBadRequest}, protocol.CodeOf(err))
}

// some is the number of a change, mostly a new one.
func (j *journey) some(rng *rand.Rand) uint64 {
	n := len(j.events(j.room))
	return uint64(max(1, n-rng.IntN(1+rng.IntN(n+1))))
}

// write does one thing at random.
func (j *journey) write(rng *rand.Rand) error {
	ctx, c, who := j.t.Context(), j.nodes[rng.IntN(2)], j.writers[rng.IntN(len(j.writers))]
	q := protocol.ConvChange{Seq: j.some(rng), Text: fmt.Sprint("edited ", rng.IntN(1000)), Emoji: []string{"👍", "🎉", "❤️"}[rng.IntN(3)], On: rng.IntN(3) > 0}
	switch k := rng.IntN(100); {
	case k < 35:
		m := protocol.ConvSend{CID: fmt.Sprint(rng.Uint64()), Text: fmt.Sprintf("message %d <@u_ann>", rng.IntN(1000))}
		if rng.IntN(3) == 0 {
			m.ReplyTo, m.Thread = q.Seq, rng.IntN(2) == 0
		}
		return second(c.Send(ctx, who, j.room, m))
	case k < 48:
		return second(c.Edit(ctx, who, j.room, q))
	case k < 55:
		return second(c.Delete(ctx, who, j.room, q))
	case k < 67:
		return second(c.React(ctx, who, j.room, q))
	case k < 73:
		return second(c.Pin(ctx, j.writers[rng.IntN(2)], j.room, q))
	case k < 76:
		_, err := c.Mark(ctx, who, j.room, protocol.ConvMark{Read: q.Seq})
		return err
	}
	return j.manage(rng, c)
}

// manage comes, goes, renames and forgets.
func (j *journey) manage(rng *rand.Rand, c *conversations.Conversations) error {
	ctx, owner, who := j.t.Context(), j.writers[0], j.writers[2+rng.IntN(3)]
	switch rng.IntN(10) {
	case 0:
		return c.Leave(ctx, who, j.room)
	case 1, 2:
		return second(c.Invite(ctx, owner, j.room, string(who.Identity)))
	case 3, 4:
		return second(c.Join(ctx, who, j.room, ""))
	case 5:
		role := []protocol.ConvRole{protocol.ConvLeft, protocol.ConvBanned, protocol.ConvMember, protocol.ConvModerator}[rng.IntN(4)]
		return second(c.SetRole(ctx, owner, j.room, who.Identity, role))
	case 6:
		return c.Renamed(ctx, who.Identity, fmt.Sprint("name ", rng.IntN(10)))
	case 7, 8:
		name, keep := fmt.Sprint("Room ", rng.IntN(10)), int64(3600*rng.IntN(2))
		if err := second(c.Update(ctx, owner, j.room, protocol.ConvPatch{Name: &name, Keep: &keep})); err != nil {
			return err
		}
		j.advance(time.Duration(rng.IntN(30)) * time.Minute)
		return c.RetainNow(ctx, j.room)
	}
	j.flush()
	return c.Forget(ctx, who.Identity)
}

// read keeps a copy while others write, and compares it at the end.
func (j *journey) read(rng *rand.Rand, who conversations.Caller, i int) error {
	ctx, next := j.t.Context(), 0
	v, err := viewtest.Load(ctx, j.nodes[rng.IntN(2)], who, j.room, 1+rng.IntN(20))
	for err == nil {
		select {
		case <-j.done:
			return j.compare(rng, v, who, next, i == 0)
		case <-j.steps:
		}
		switch c, k := j.nodes[rng.IntN(2)], rng.IntN(20); {
		case k < 2 && i > 0: // reconnects
			v, err = j.sync(rng, v, who)
		case k == 2 && i > 1: // another device
			v, err = viewtest.Load(ctx, c, who, j.room, 1+rng.IntN(20))
		case k == 3 && i > 0: // the line is cut
			next = len(j.events(j.room))
		case k < 12:
			next = j.hear(rng, v, next, i > 0)
		default:
			err = second(c.History(ctx, who, j.room, protocol.ConvHistoryQuery{Limit: 30}))
		}
	}
	return err
}

func (j *journey) sync(rng *rand.Rand, v *viewtest.View, who conversations.Caller) (*viewtest.View, error) {
	c := j.nodes[rng.IntN(2)]
	if ok, err := v.Sync(j.t.Context(), c, who, j.room, 1+rng.IntN(10)); ok || err != nil {
		return v, err
	}
	return viewtest.Load(j.t.Context(), c, who, j.room, 50)
}

// hear applies what was published since, in any order, some of it twice; on a bad line some of it is lost.
func (j *journey) hear(rng *rand.Rand, v *viewtest.View, next int, bad bool) int {
	all := j.events(j.room)
	events := slices.Clone(all[next:])
	rng.Shuffle(len(events), func(a, b int) { events[a], events[b] = events[b], events[a] })
	for _, e := range events {
		if bad && rng.IntN(10) == 0 {
			continue
		}
		v.Apply(e)
		if rng.IntN(10) == 0 {
			v.Apply(all[rng.IntN(len(all))])
		}
	}
	return len(all)
}

// compare: a reader on a good line needs events only, the others ask for the rest.
func (j *journey) compare(rng *rand.Rand, v *viewtest.View, who conversations.Caller, next int, good bool) (err error) {
	j.hear(rng, v, next, !good)
	if !good {
		if v, err = j.sync(rng, v, who); err != nil {
			return err
		}
	}
	for i, c := range append(slices.Clone(j.nodes), j.bare) {
		fresh, err := viewtest.Load(j.t.Context(), c, who, j.room, 30)
		if err != nil {
			return err
		}
		if d := viewtest.Diff(v, fresh); d != "" || v.Seq != fresh.Seq {
			return fmt.Errorf("the copy has %d, node %d reads %d afresh: %s", v.Seq, i, fresh.Seq, d)
		}
	}
	return nil
}

package cachetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// record is the truth, as the database has it, with all that ever was.
type record struct {
	mu   sync.Mutex
	was  [][]protocol.ConvMessage // by seq: all messages then
	told uint64                   // the highest number that Apply or Drop returned for
}

func newRecord() *record { return &record{was: [][]protocol.ConvMessage{{}}} }

// write makes a change: a message, an edit, somebody who comes.
func (r *record) write(pick func(int) int) protocol.ConvEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	seq := uint64(len(r.was))
	all := slices.Clone(r.was[seq-1])
	var e protocol.ConvEvent
	switch k := pick(4); {
	case k == 0:
		e = joined(seq)
	case k == 1 && len(all) > 0:
		i := len(all) - 1 - pick(min(len(all), conversations.CachePage+10))
		e = changed(seq, all[i].Seq)
		all[i] = *e.Message
	default:
		e = sent(seq)
		all = append(all, *e.Message)
	}
	r.was = append(r.was, all)
	return e
}

// newest is what a reader finds.
func (r *record) newest() conversations.Newest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at(uint64(len(r.was)-1), conversations.CachePage)
}

func (r *record) at(seq uint64, limit int) conversations.Newest {
	all := r.was[seq]
	from := max(0, len(all)-limit)
	return conversations.Newest{Seq: seq, Whole: from == 0, Messages: slices.Clone(all[from:])}
}

func (r *record) tell(seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = max(r.told, seq)
}

func (r *record) heard() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told
}

// check says what is wrong with what Get gave, when everything up to heard had been told before.
func (r *record) check(n conversations.Newest, heard uint64, limit int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n.Seq < heard {
		return fmt.Errorf("the cache gives what was at %d after it was told of %d", n.Seq, heard)
	}
	if n.Seq >= uint64(len(r.was)) {
		return fmt.Errorf("the cache gives %s, which never was", show(n))
	}
	want := r.at(n.Seq, limit)
	for _, m := range n.Messages {
		if text(m) != text(message(m.Seq, m.Rev)) {
			return fmt.Errorf("the cache gives %s", text(m))
		}
	}
	// A page that grew from a short one has what it has: its newest are the newest.
	if len(n.Messages) > len(want.Messages) || len(n.Messages) < len(want.Messages) && n.Whole {
		return fmt.Errorf("the cache gives %s, the truth was %s", show(n), show(want))
	}
	want.Messages, want.Whole = want.Messages[len(want.Messages)-len(n.Messages):], n.Whole && want.Whole
	if show(n) != show(want) {
		return fmt.Errorf("the cache gives %s, the truth was %s", show(n), show(want))
	}
	return nil
}

// testPlans walks through random orders of the steps of readers and writers, one step at a time.
func testPlans(t *testing.T, cs Caches) {
	for range 12 {
		plan(t, cs, rand.Uint64())
		if cs.Flush == nil {
			return // the next one begins with nothing
		}
		cs.Flush()
	}
}

// reading is a reader between its Get and its Fill.
type reading struct {
	lease string
	page  *conversations.Newest // nil: not read yet
}

func plan(t *testing.T, cs Caches, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	r, untold, readers := newRecord(), []protocol.ConvEvent{}, []reading{}
	for step := range 150 {
		c := cs.Nodes[rng.IntN(len(cs.Nodes))]
		switch k := rng.IntN(20); {
		case k < 6:
			untold = append(untold, r.write(rng.IntN))
		case k < 11 && len(untold) > 0:
			i := min(rng.IntN(len(untold)), rng.IntN(len(untold)), rng.IntN(len(untold))) // mostly in order
			e := untold[i]
			untold = slices.Delete(untold, i, i+1)
			if rng.IntN(8) == 0 {
				drop(t, c, e.Seq)
			} else {
				apply(t, c, e)
			}
			r.tell(e.Seq)
		case k < 14 && len(readers) > 0: // a reader goes on
			i := rng.IntN(len(readers))
			if readers[i].page == nil {
				n := r.newest()
				readers[i].page = &n
				break
			}
			fill(t, c, readers[i].lease, *readers[i].page)
			readers = slices.Delete(readers, i, i+1)
		case k == 14 && rng.IntN(10) == 0 && cs.Flush != nil:
			cs.Flush()
		default:
			limit := 1 + rng.IntN(conversations.CachePage)
			n, found, lease := get(t, c, limit)
			if !found {
				readers = append(readers, reading{lease: lease})
			} else if err := r.check(n, r.heard(), limit); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
		}
	}
}

// testRace does the same with all at once.
func testRace(t *testing.T, cs Caches) {
	const turns = 150
	r := newRecord()
	var all sync.WaitGroup
	for i := range 6 {
		c := cs.Nodes[i%len(cs.Nodes)]
		all.Go(func() {
			for turn := range turns {
				var err error
				switch {
				case i < 2:
					err = r.writer(t, c)
				case i == 2 && turn%50 == 25 && cs.Flush != nil:
					cs.Flush()
				default:
					err = r.reader(t, c)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	// At rest a page that is filled stays, and is the truth.
	_, found, lease := get(t, cs.Nodes[0], 1)
	if !found {
		fill(t, cs.Nodes[1], lease, r.newest())
	}
	n, found, _ := get(t, cs.Nodes[0], 1)
	if err := r.check(n, r.heard(), 1); err != nil || !found {
		t.Errorf("at rest: found %v, %v", found, err)
	}
}

func (r *record) writer(t *testing.T, c conversations.Cache) error {
	e := r.write(rand.IntN)
	if rand.IntN(10) == 0 {
		if err := c.Drop(t.Context(), room, e.Seq); err != nil {
			return err
		}
	} else if err := c.Apply(t.Context(), e); err != nil {
		return err
	}
	r.tell(e.Seq)
	return nil
}

func (r *record) reader(t *testing.T, c conversations.Cache) error {
	heard := r.heard()
	n, found, lease, err := c.Get(t.Context(), room, 50)
	switch {
	case err != nil:
		return err
	case found:
		return r.check(n, heard, 50)
	}
	return c.Fill(t.Context(), room, lease, r.newest())
}

package conversations

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/e2e/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// TestRecord: nodes and the database are killed, and Redis is flushed, while many talk: every acknowledged message is there,
// once, in order, and what every client shows in the end is the record. RONDO_LOAD=1 makes it 100,000 messages of 200
// people in 50 rooms.
func TestRecord(t *testing.T) {
	p := plan{people: 24, rooms: 6, each: 40, pause: 150 * time.Millisecond, kills: 2, between: 2 * time.Second}
	if os.Getenv("RONDO_LOAD") != "" {
		p = plan{people: 200, rooms: 50, each: 500, pause: 500 * time.Millisecond, kills: 8, between: 15 * time.Second}
	}
	w := newTown(t, p)
	all := make([]*inhabitant, p.people)
	for i := range all {
		all[i] = w.settle(i, 7)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	var talking, failing sync.WaitGroup
	errs := make([]error, len(all))
	for i, p := range all {
		talking.Go(func() { errs[i] = p.live(ctx) })
	}
	over := make(chan struct{})
	faults := 0
	failing.Go(func() { faults = w.fail(over) })
	talking.Wait()
	close(over)
	failing.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	said := 0
	for _, p := range all {
		said += len(p.words)
	}
	t.Logf("%d messages acknowledged in %v, %d faults", said, time.Since(began).Round(time.Second), faults)
	if faults < p.kills {
		t.Errorf("only %d of %d kills happened while people talked", faults, p.kills)
	}
	w.judge(all)
}

// fail does to the service what the plan wants, one thing after another, until all is over.
func (w *town) fail(over <-chan struct{}) (faults int) {
	for faults < 2*w.plan.kills {
		select {
		case <-over:
			return faults
		case <-time.After(w.plan.between):
		}
		switch faults % 4 {
		case 0, 2:
			w.kill(faults / 2)
		case 1:
			if _, err := w.redis.Do("FLUSHALL"); err != nil {
				w.t.Errorf("flush: %v", err)
			}
		default:
			w.db.Kill()
			w.db.Restart()
		}
		faults++
	}
	return faults
}

// judge compares the record with everybody's book and with all views.
func (w *town) judge(all []*inhabitant) {
	w.t.Helper()
	for _, room := range w.rooms {
		rec := read(w.t, w.store, room)
		for _, p := range all {
			for _, wrong := range rec.judge(p.author, room) {
				w.t.Error(wrong)
			}
			for _, v := range p.views {
				if v.Room != room {
					continue
				}
				if diff := rec.settled(v, 30*time.Second); diff != "" {
					w.t.Errorf("%s, %s: %s", p.name, room, diff)
				}
			}
		}
	}
}

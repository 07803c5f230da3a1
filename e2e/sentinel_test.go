package e2e_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// matchAgain is how soon after Redis is back people are matched again.
const matchAgain = 5 * time.Second

// TestSentinelFailover: the master dies or stalls under a call between two nodes
// and a search. Once there is another one the call's chat goes on, and who waited
// and who comes are matched, all without a restart.
func TestSentinelFailover(t *testing.T) {
	t.Parallel() // it mostly waits
	for name, fail := range map[string]func(*testenv.Sentinel) *testenv.RedisServer{
		"killed": (*testenv.Sentinel).KillMaster, "stalled": (*testenv.Sentinel).StallMaster,
	} {
		t.Run(name, func(t *testing.T) {
			redis := testenv.RedisSentinel(t)
			nodes := lab.Pair(t, redis.URL)
			ann, bo := nodes[0].Dial(t, 1, client.Options{Name: "Ann"}), nodes[1].Dial(t, 2, client.Options{Name: "Bo"})
			fa, _ := meet(t, ann, bo)
			say(t, ann, bo, fa.Room, "before")
			cy, di := nodes[0].Dial(t, 3, client.Options{Name: "Cy"}), nodes[1].Dial(t, 4, client.Options{Name: "Di"})
			find(t, cy, protocol.Find{})

			old := fail(redis)
			redis.AwaitFailover(old)
			back := time.Now()
			persist(t, func(ctx context.Context) error {
				_, err := di.Find(ctx, protocol.Find{})
				return err
			})
			t.Logf("search accepted %v after the fail-over", time.Since(back))
			fc, fd := next[client.Found](t, cy), next[client.Found](t, di)
			checkMatch(t, fc, fd)
			if took := time.Since(back); took > matchAgain {
				t.Errorf("matched %v after the fail-over, want less than %v", took, matchAgain)
			} else {
				t.Logf("matched %v after the fail-over", took)
			}
			say(t, cy, di, fc.Room, "we met")
			var sent protocol.ChatSent
			persist(t, func(ctx context.Context) (err error) {
				sent, err = ann.Chat(ctx, fa.Room, "after")
				return err
			})
			if got := nextWhere(t, bo, func(c client.Chat) bool { return c.Off == sent.Off }); got.Text != "after" {
				t.Errorf("got %+v, sent %+v", got, sent)
			}
			if name == "stalled" {
				old.Continue() // it still takes itself for the master; nobody may believe it
				eve := nodes[0].Dial(t, 5, client.Options{Name: "Eve"})
				flo := nodes[1].Dial(t, 6, client.Options{Name: "Flo"})
				persist(t, func(ctx context.Context) error { _, err := eve.Find(ctx, protocol.Find{}); return err })
				persist(t, func(ctx context.Context) error { _, err := flo.Find(ctx, protocol.Find{}); return err })
				checkMatch(t, next[client.Found](t, eve), next[client.Found](t, flo))
			}
		})
	}
}

// persist asks until it is answered, as a client does: it waits as long as an
// answer unavailable says.
func persist(t *testing.T, ask func(context.Context) error) {
	t.Helper()
	ctx := within(t, wait)
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		shown, ok := errors.AsType[*protocol.Error](err)
		if !ok || shown.Code != protocol.CodeUnavailable || shown.Retry <= 0 {
			t.Fatalf("%v, want success, or unavailable and when to try again", err)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("still %v", err)
		case <-time.After(shown.Retry):
		}
	}
}

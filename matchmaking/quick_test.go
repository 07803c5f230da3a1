package matchmaking_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/protocol"
)

// quick is a client that asks for the next match while it is being told of one.
type quick struct {
	m     *matchmaking.Matcher
	again chan error
}

func (q *quick) Alive(context.Context, protocol.SessionID) bool { return true }
func (q *quick) Open(context.Context, matchmaking.Match) error  { return nil }
func (q *quick) Waiting(protocol.SessionID, protocol.Waiting)   {}
func (q *quick) Stopped(protocol.SessionID, *protocol.Error)    {}
func (q *quick) Notify(protocol.NodeID, string, []byte) error   { return nil }
func (q *quick) Found(id protocol.SessionID, _ matchmaking.Match, _ int) {
	if id != "s_ann" {
		return
	}
	go func() {
		_, err := q.m.Find(context.Background(), matchmaking.Asker{Session: "s_ann", User: "ann"}, matchmaking.Profile{})
		q.again <- err
	}()
	synctest.Wait() // the hook takes its time: until the request is as far as it gets
}

func TestWhoAsksAgainWhileBeingToldIsNotSearchingAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &quick{again: make(chan error, 1)}
		var err error
		q.m, err = matchmaking.New(matchmaking.Config{Node: "n", Queue: matchmaking.NewMemoryQueue(), Relations: matchmaking.NewMemoryRelations(),
			Notifier: q, Hooks: q, Pools: []matchmaking.PoolConfig{{Name: "video", Mode: protocol.ModeVideo}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := q.m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, who := range []string{"ann", "bo"} {
			if _, err := q.m.Find(t.Context(), matchmaking.Asker{Session: protocol.SessionID("s_" + who), User: protocol.UserID(who)}, matchmaking.Profile{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-q.again; err != nil {
			t.Error(err)
		}
		if _, searching := q.m.Status("s_ann"); !searching {
			t.Error("ann's second search is not there")
		}
		if err := q.m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

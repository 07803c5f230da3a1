package matchmaking_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/matchmaking/queuetest"
	"github.com/rondo-chat/rondo/protocol"
)

type profile = matchmaking.Profile

// town starts n matchers over memory.
func town(t *testing.T, n int, each func(i int, c *matchmaking.Config)) *queuetest.Town {
	return queuetest.NewTown(t, n, matchmaking.Config{Queue: matchmaking.NewMemoryQueue(), Relations: matchmaking.NewMemoryRelations()}, each)
}

// everywhere runs a test in which two people are on one node, and on two. Time
// is false: it passes when all are idle.
func everywhere(t *testing.T, test func(t *testing.T, town *queuetest.Town, here, there *queuetest.Node)) {
	t.Run("one node", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { w := town(t, 1, nil); test(t, w, w.Nodes[0], w.Nodes[0]); w.Whole() })
	})
	t.Run("two nodes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { w := town(t, 2, nil); test(t, w, w.Nodes[0], w.Nodes[1]); w.Whole() })
	})
}

// met fails the test unless the two are with each other, and returns what a was told.
func met(t *testing.T, a, b *queuetest.Person) queuetest.Found {
	t.Helper()
	synctest.Wait()
	if a.Partner() != b.Session || b.Partner() != a.Session {
		t.Fatalf("%s has %q, %s has %q", a.Session, a.Partner(), b.Session, b.Partner())
	}
	all := a.Found()
	return all[len(all)-1]
}

func alone(t *testing.T, people ...*queuetest.Person) {
	t.Helper()
	synctest.Wait()
	for _, p := range people {
		if len(p.Found()) > 0 {
			t.Fatalf("%s met %s", p.Session, p.Partner())
		}
	}
}

func TestTwoStrangersMeet(t *testing.T) {
	everywhere(t, func(t *testing.T, _ *queuetest.Town, here, there *queuetest.Node) {
		ann, bo := here.Person("ann"), there.Person("bo")
		w := ann.MustFind(profile{Tags: []string{"go", "jazz", "tea"}, Languages: []string{"de", "en"}})
		if w.Pool != "video" || w.Reach != protocol.ReachTags || w.Next == nil || w.Next.AfterMS != 5000 || w.Next.Reach != protocol.ReachLanguage || w.Waiting != 1 || w.EstimateMS != nil {
			t.Errorf("%+v", w)
		}
		testenv.Elapse(4 * time.Second)
		bo.MustFind(profile{Tags: []string{"tea", "go"}, Languages: []string{"en"}, Relay: true})
		f := met(t, bo, ann)
		if f.You != 1 || f.Match.Pool != "video" || !f.Match.Relay || f.Match.Shared.Language != "en" || !slices.Equal(f.Match.Shared.Tags, []string{"go", "tea"}) {
			t.Errorf("%+v", f)
		}
		if a := ann.Found()[0]; a.You != 0 || a.Waited != 4*time.Second || a.Match.ID != f.Match.ID || a.Match.Members[1].Name != "bo" || f.Match.Members[0].Name != "ann" {
			t.Errorf("%+v", a)
		}
		if f.Waited != 0 {
			t.Errorf("bo waited %v", f.Waited)
		}
		if _, ok := here.Status(ann.Session); ok {
			t.Error("still searching")
		}
	})
}

func TestFindRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := queuetest.NewTown(t, 1, matchmaking.Config{Queue: matchmaking.NewMemoryQueue(), Relations: matchmaking.NewMemoryRelations(),
			Pools: []matchmaking.PoolConfig{{Name: "a", Traits: []string{"f", "m"}}, {Name: "b"}}}, nil)
		ann := w.Nodes[0].Person("ann")
		for what, p := range map[string]profile{
			"pool": {Pool: "c"}, "tags": {Tags: []string{"a", "b", "c", "d"}}, "tag": {Tags: []string{"a\x1fb"}}, "empty tag": {Tags: []string{""}},
			"languages": {Languages: []string{"a", "b", "c"}}, "language": {Languages: []string{"+"}},
			"trait": {Trait: "x"}, "want": {Want: []string{"f", "x"}}, "trait of another pool": {Pool: "b", Trait: "f"},
		} {
			if _, err := ann.Find(p); protocol.CodeOf(err) != protocol.CodeBadRequest {
				t.Errorf("%s: %v", what, err)
			}
		}
		ann.MustFind(profile{Trait: "f", Want: []string{"m", "m"}})
		if _, err := ann.Find(profile{}); protocol.CodeOf(err) != protocol.CodeAlready {
			t.Errorf("%v", err)
		}
	})
}

func TestWidening(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b profile
		at   time.Duration // after both began; -1: never
	}{
		{"shared tag", profile{Tags: []string{"a"}, Languages: []string{"en"}}, profile{Tags: []string{"b", "a"}, Languages: []string{"en"}}, 0},
		{"shared tag, no languages", profile{Tags: []string{"a"}}, profile{Tags: []string{"a"}}, 0},
		{"shared tag, one without language", profile{Tags: []string{"a"}, Strict: true}, profile{Tags: []string{"a"}, Languages: []string{"en"}, Strict: true}, 0},
		{"shared tag, other language", profile{Tags: []string{"a"}, Languages: []string{"de"}}, profile{Tags: []string{"a"}, Languages: []string{"en"}}, 15 * time.Second},
		{"other tags", profile{Tags: []string{"a"}, Languages: []string{"en"}}, profile{Tags: []string{"b"}, Languages: []string{"en"}}, 5 * time.Second},
		{"other tags, one without language", profile{Tags: []string{"a"}}, profile{Tags: []string{"b"}, Languages: []string{"en"}}, 5 * time.Second},
		{"other tags and languages", profile{Tags: []string{"a"}, Languages: []string{"de"}}, profile{Tags: []string{"b"}, Languages: []string{"en"}}, 15 * time.Second},
		{"languages only", profile{Languages: []string{"de", "en"}}, profile{Languages: []string{"fr", "en"}}, 0},
		{"other languages", profile{Languages: []string{"de"}}, profile{Languages: []string{"en"}}, 15 * time.Second},
		{"language and none", profile{Languages: []string{"de"}, Strict: true}, profile{}, 0},
		{"nothing", profile{}, profile{}, 0},
		{"tags and nothing", profile{Tags: []string{"a"}, Languages: []string{"en"}}, profile{}, 0},
		{"strict and nothing", profile{Tags: []string{"a"}, Strict: true}, profile{}, -1},
		{"strict, other tags", profile{Tags: []string{"a"}, Strict: true}, profile{Tags: []string{"b"}}, -1},
		{"strict, other language", profile{Languages: []string{"de"}, Strict: true}, profile{Languages: []string{"en"}}, -1},
		{"strict, shared", profile{Tags: []string{"a"}, Strict: true}, profile{Tags: []string{"a"}, Strict: true}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, _ *queuetest.Town, here, there *queuetest.Node) {
				a, b := here.Person("a"), there.Person("b")
				start := time.Now()
				a.MustFind(c.a)
				b.MustFind(c.b)
				testenv.Elapse(time.Minute)
				if c.at < 0 {
					alone(t, a, b)
					return
				}
				if f := met(t, a, b); f.At.Sub(start) != c.at {
					t.Errorf("met after %v, want %v", f.At.Sub(start), c.at)
				}
			})
		})
	}
}

// Who has widened is found by, and finds, those who have not.
func TestWidenedTakesAndIsTaken(t *testing.T) {
	everywhere(t, func(t *testing.T, _ *queuetest.Town, here, there *queuetest.Node) {
		a, b := here.Person("a"), there.Person("b")
		a.MustFind(profile{Tags: []string{"rare"}, Languages: []string{"en"}})
		testenv.Elapse(16 * time.Second)
		if w, _ := here.Status(a.Session); w.Reach != protocol.ReachAnyone || w.Next != nil || w.WaitedMS != 16000 {
			t.Errorf("%+v", w)
		}
		b.MustFind(profile{Tags: []string{"other"}, Languages: []string{"de"}})
		met(t, a, b)
	})
}

func TestTraits(t *testing.T) {
	pools := []matchmaking.PoolConfig{{Name: "p", Traits: []string{"f", "m"}}}
	for _, c := range []struct {
		a, b profile
		fit  bool
	}{
		{profile{Trait: "f"}, profile{Trait: "m"}, true},
		{profile{}, profile{}, true},
		{profile{Trait: "f", Want: []string{"m"}}, profile{Trait: "m", Want: []string{"f"}}, true},
		{profile{Trait: "f", Want: []string{"m"}}, profile{Trait: "m"}, true},
		{profile{Trait: "f", Want: []string{"m"}}, profile{Trait: "f"}, false},
		{profile{Trait: "f", Want: []string{"m"}}, profile{}, false},
		{profile{Want: []string{"m"}}, profile{Trait: "m", Want: []string{"f"}}, false},
		{profile{Trait: "f", Want: []string{"m"}}, profile{Trait: "m", Want: []string{"m"}}, false},
		{profile{Trait: "f", Want: []string{"m", "f"}}, profile{Trait: "f", Want: []string{"f", "m"}}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := queuetest.NewTown(t, 1, matchmaking.Config{Queue: matchmaking.NewMemoryQueue(), Relations: matchmaking.NewMemoryRelations(), Pools: pools}, nil)
			a, b := w.Nodes[0].Person("a"), w.Nodes[0].Person("b")
			a.MustFind(c.a)
			b.MustFind(c.b)
			testenv.Elapse(time.Minute) // a wish for traits never widens
			if got := a.Partner() != ""; got != c.fit {
				t.Errorf("%+v and %+v: %v, want %v", c.a, c.b, got, c.fit)
			}
		})
	}
}

func TestNeverWithOneself(t *testing.T) {
	everywhere(t, func(t *testing.T, _ *queuetest.Town, here, there *queuetest.Node) {
		tab1, tab2 := here.Tab("tab1", "ann"), there.Tab("tab2", "ann")
		tab1.MustFind(profile{})
		tab2.MustFind(profile{})
		testenv.Elapse(time.Minute)
		alone(t, tab1, tab2)
		bo := there.Person("bo")
		bo.MustFind(profile{})
		met(t, bo, tab1)
	})
}

func TestNeverBlocked(t *testing.T) {
	everywhere(t, func(t *testing.T, _ *queuetest.Town, here, there *queuetest.Node) {
		ann, bo := here.Person("ann"), there.Person("bo")
		if err := there.Block(t.Context(), bo.User, ann.User); err != nil {
			t.Fatal(err)
		}
		ann.MustFind(profile{})
		bo.MustFind(profile{})
		testenv.Elapse(time.Minute)
		alone(t, ann, bo)
		ann.Cancel()
		bo.Cancel()
		bo.MustFind(profile{})
		ann.MustFind(profile{})
		testenv.Elapse(time.Minute)
		alone(t, ann, bo)
		cy := here.Person("cy")
		cy.MustFind(profile{})
		met(t, cy, bo)
	})
}

// late hides a user's exclusions from the first who ask, as if a block came in
// between the search and the proposal.
type late struct {
	matchmaking.Relations
	of    protocol.UserID
	hides int
}

func (l *late) Exclusions(ctx context.Context, u protocol.UserID) (matchmaking.Exclusions, error) {
	if u == l.of && l.hides > 0 {
		l.hides--
		return matchmaking.Exclusions{}, nil
	}
	return l.Relations.Exclusions(ctx, u)
}

// A block that the searcher did not see yet is seen by the other side; that
// turns down, both stay, and neither is proposed to the other again and again.
func TestBlockIsCheckedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		relations := &late{matchmaking.NewMemoryRelations(), "u-bo", 100}
		w := queuetest.NewTown(t, 2, matchmaking.Config{Queue: matchmaking.NewMemoryQueue(), Relations: relations}, nil)
		ann, bo := w.Nodes[0].Person("ann"), w.Nodes[1].Person("bo")
		_ = relations.Block(t.Context(), bo.User, ann.User)
		ann.MustFind(profile{})
		bo.MustFind(profile{})
		testenv.Elapse(time.Minute)
		alone(t, ann, bo)
		if left := relations.hides; left < 90 {
			t.Errorf("asked %d times", 100-left)
		}
		cy, di := w.Nodes[0].Person("cy"), w.Nodes[1].Person("di")
		cy.MustFind(profile{})
		met(t, cy, ann)
		di.MustFind(profile{})
		met(t, di, bo)
	})
}

// Two people alone who press Next meet again, but not at once.
func TestRecentPartnersAreAvoidedForAWhile(t *testing.T) {
	everywhere(t, func(t *testing.T, _ *queuetest.Town, here, there *queuetest.Node) {
		ann, bo, cy := here.Person("ann"), there.Person("bo"), there.Person("cy")
		ann.MustFind(profile{})
		bo.MustFind(profile{})
		met(t, ann, bo)
		here.Parted(ann.User, bo.User)
		start := time.Now()
		bo.MustFind(profile{})
		ann.MustFind(profile{})
		testenv.Elapse(time.Minute)
		if f := met(t, ann, bo); f.At.Sub(start) != 3*time.Second {
			t.Errorf("met again after %v", f.At.Sub(start))
		}
		here.Parted(ann.User, bo.User)
		bo.MustFind(profile{})
		ann.MustFind(profile{})
		testenv.Elapse(time.Second)
		cy.MustFind(profile{})
		met(t, cy, bo) // who began before ann
		testenv.Elapse(time.Minute)
		if n := len(ann.Found()); n != 2 {
			t.Errorf("%d matches", n)
		}
		// Ten minutes later nobody remembers.
		testenv.Elapse(matchmaking.RecentTTL)
		di := here.Person("di")
		di.MustFind(profile{})
		met(t, ann, di)
		ann.MustFind(profile{})
		bo.MustFind(profile{})
		met(t, ann, bo)
	})
}

func TestRelayIsNoFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := queuetest.NewTown(t, 1, matchmaking.Config{Queue: matchmaking.NewMemoryQueue(), Relations: matchmaking.NewMemoryRelations(),
			Pools: []matchmaking.PoolConfig{{Name: "open"}, {Name: "closed", RelayOnly: true}}}, nil)
		for i, c := range []struct {
			pool       string
			a, b, want bool
		}{{"open", false, false, false}, {"open", true, false, true}, {"open", false, true, true}, {"closed", false, false, true}} {
			a, b := w.Nodes[0].Person(strings.Repeat("a", i+1)), w.Nodes[0].Person(strings.Repeat("b", i+1))
			a.MustFind(profile{Pool: c.pool, Relay: c.a})
			b.MustFind(profile{Pool: c.pool, Relay: c.b})
			if f := met(t, a, b); f.Match.Relay != c.want {
				t.Errorf("%+v: %v", c, f.Match.Relay)
			}
		}
	})
}

func TestOldestFirst(t *testing.T) {
	everywhere(t, func(t *testing.T, _ *queuetest.Town, here, there *queuetest.Node) {
		nodes := []*queuetest.Node{here, there}
		var waiting []*queuetest.Person
		for i := range 6 { // of one language each, so that they do not fit
			p := nodes[i%2].Person(string(rune('a' + i)))
			p.MustFind(profile{Languages: []string{string(rune('a' + i))}, Strict: true})
			waiting = append(waiting, p)
			testenv.Elapse(time.Second)
		}
		for i, w := range waiting {
			p := nodes[i/3].Person("x" + string(rune('a'+i)))
			p.MustFind(profile{})
			met(t, p, w)
		}
	})
}

// TestReturn: who comes from another node has its place in the queue and its
// stage of widening there.
func TestReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := town(t, 2, nil)
		ann, bo := w.Nodes[0].Person("ann"), w.Nodes[0].Person("bo")
		wish := profile{Languages: []string{"de"}, Strict: true}
		ann.MustFind(wish)
		testenv.Elapse(time.Second)
		bo.MustFind(profile{Languages: []string{"en"}, Strict: true})
		testenv.Elapse(3 * time.Second)
		start, since, ok := w.Nodes[0].Place(ann.Session)
		if !ok || time.Since(start) != 4*time.Second || since.IsZero() {
			t.Fatal(start, since, ok)
		}
		w.Nodes[0].Forget(ann.Session)
		moved := w.Nodes[1].Person("ann")
		if err := moved.Return(wish, start, since); err != nil {
			t.Fatal(err)
		}
		if err := moved.Return(wish, start, since); protocol.CodeOf(err) != protocol.CodeAlready {
			t.Error(err)
		}
		if st, ok := w.Nodes[1].Status(moved.Session); !ok || st.WaitedMS != 4000 {
			t.Errorf("%+v", st)
		}
		first, second := w.Nodes[0].Person("first"), w.Nodes[1].Person("second")
		first.MustFind(profile{})
		met(t, first, moved) // the older one
		second.MustFind(profile{})
		met(t, second, bo)
	})
}

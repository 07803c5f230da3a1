package queuetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/protocol"
)

// Town is some matchers that share a queue, the people who search through them,
// and a book of all that they were told. It fails the test when somebody is told
// what must not be: of a match while not searching, of a second one, of one
// without a room, of one whose other side was told something else.
type Town struct {
	t     testing.TB
	Nodes []*Node

	mu     sync.Mutex
	people map[protocol.SessionID]*Person
	rooms  map[protocol.RoomID]*room
	cut    map[*Node]bool
	lose   func() bool
}

// Node is a matcher with its surroundings.
type Node struct {
	*matchmaking.Matcher
	ID   protocol.NodeID
	town *Town
	in   chan letter
	done chan struct{}
}

type letter struct {
	from    protocol.NodeID
	payload []byte
}

type room struct {
	match  matchmaking.Match
	opened bool
	told   [2]bool
	absent [2]bool
}

// Person is one session and what it was told.
type Person struct {
	Node    *Node
	Session protocol.SessionID
	User    protocol.UserID
	town    *Town

	// Guarded by Town.mu.
	searching int  // searches begun and not told the end of; two while the end of one is being told
	refused   bool // the last search could not begin; a push may be under way all the same
	silent    bool
	asked     time.Time
	found     []Found
	waiting   []Told
	stopped   []*protocol.Error
	probes    int
}

// Found is a match as a session was told of it.
type Found struct {
	Match  matchmaking.Match
	You    int
	At     time.Time
	Waited time.Duration
}

// Told is a push of how a search stands.
type Told struct {
	protocol.Waiting
	At time.Time
}

// NewTown starts n matchers. base holds what they have in common, and at least
// Queue and Relations; each, if not nil, may change the configuration of one.
// They are closed when the test ends.
func NewTown(t testing.TB, n int, base matchmaking.Config, each func(i int, c *matchmaking.Config)) *Town {
	t.Helper()
	town := &Town{t: t, people: map[protocol.SessionID]*Person{}, rooms: map[protocol.RoomID]*room{}, cut: map[*Node]bool{}}
	if len(base.Pools) == 0 {
		base.Pools = []matchmaking.PoolConfig{{Name: "video"}}
	}
	for i := range n {
		node := &Node{ID: protocol.NodeID(fmt.Sprint("n", i+1)), town: town, in: make(chan letter, 100_000), done: make(chan struct{})}
		c := base
		c.Node, c.Hooks, c.Notifier = node.ID, hooks{town, node}, node
		if each != nil {
			each(i, &c)
		}
		m, err := matchmaking.New(c)
		if err != nil {
			t.Fatal(err)
		}
		node.Matcher = m
		town.Nodes = append(town.Nodes, node)
	}
	for _, node := range town.Nodes {
		go node.deliver()
		if err := node.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(town.close)
	return town
}

func (town *Town) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, n := range town.Nodes {
		if err := n.Close(ctx); err != nil && !town.isCut(n) {
			town.t.Errorf("close of %s: %v", n.ID, err)
		}
	}
	for _, n := range town.Nodes {
		close(n.in)
		<-n.done
	}
}

// Lose makes that each message between nodes is lost where f says so.
func (town *Town) Lose(f func() bool) {
	town.mu.Lock()
	defer town.mu.Unlock()
	town.lose = f
}

// Cut makes that a node neither sends nor receives, as after a crash.
func (town *Town) Cut(n *Node) {
	town.mu.Lock()
	defer town.mu.Unlock()
	town.cut[n] = true
}

func (town *Town) isCut(n *Node) bool {
	town.mu.Lock()
	defer town.mu.Unlock()
	return town.cut[n]
}

// Notify implements matchmaking.Notifier: in order, and lost where the town
// loses it.
func (n *Node) Notify(to protocol.NodeID, _ string, payload []byte) error {
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	for _, other := range n.town.Nodes {
		if other.ID != to {
			continue
		}
		if n.town.cut[n] || n.town.cut[other] || n.town.lose != nil && n.town.lose() {
			return nil
		}
		select {
		case other.in <- letter{n.ID, payload}:
			return nil
		default:
			return errors.New("full")
		}
	}
	return nil // a node that is no more
}

func (n *Node) deliver() {
	defer close(n.done)
	for l := range n.in {
		if !n.town.isCut(n) {
			n.Receive(l.from, l.payload)
		}
	}
}

// Person adds somebody with a session on the node.
func (n *Node) Person(name string) *Person {
	return n.Tab(name, name)
}

// Tab adds a session of a user.
func (n *Node) Tab(session, user string) *Person {
	p := &Person{Node: n, Session: protocol.SessionID(session), User: protocol.UserID("u-" + user), town: n.town}
	n.town.mu.Lock()
	defer n.town.mu.Unlock()
	n.town.people[p.Session] = p
	return p
}

// Find starts a search.
func (p *Person) Find(profile matchmaking.Profile) (protocol.Waiting, error) {
	p.town.mu.Lock()
	p.searching, p.refused, p.asked = p.searching+1, false, time.Now()
	p.town.mu.Unlock()
	w, err := p.Node.Find(context.Background(), matchmaking.Asker{Session: p.Session, User: p.User, Name: string(p.Session)}, profile)
	if err != nil { // none began; already: the one before goes on
		p.town.mu.Lock()
		p.searching--
		p.refused = true
		p.town.mu.Unlock()
	}
	return w, err
}

// MustFind starts a search that must start.
func (p *Person) MustFind(profile matchmaking.Profile) protocol.Waiting {
	p.town.t.Helper()
	w, err := p.Find(profile)
	if err != nil {
		p.town.t.Fatalf("%s: %v", p.Session, err)
	}
	return w
}

// Return goes on with a search that the session had at another node.
func (p *Person) Return(profile matchmaking.Profile, start, since time.Time) error {
	p.town.mu.Lock()
	p.searching, p.asked = p.searching+1, start
	p.town.mu.Unlock()
	return p.Node.Return(context.Background(), matchmaking.Asker{Session: p.Session, User: p.User, Name: string(p.Session)}, profile, start, since)
}

// Cancel ends the search; after that no match may be told.
func (p *Person) Cancel() bool {
	was := p.Node.Cancel(context.Background(), p.Session)
	p.town.mu.Lock()
	defer p.town.mu.Unlock()
	if was {
		p.searching--
	}
	return was
}

// Silence makes that the person gives signs of life, or none.
func (p *Person) Silence(on bool) {
	p.town.mu.Lock()
	defer p.town.mu.Unlock()
	p.silent = on
}

// Found returns the matches told, oldest first.
func (p *Person) Found() []Found {
	p.town.mu.Lock()
	defer p.town.mu.Unlock()
	return append([]Found(nil), p.found...)
}

// Partner returns the session of the last match's other side, "" without one.
func (p *Person) Partner() protocol.SessionID {
	all := p.Found()
	if len(all) == 0 {
		return ""
	}
	f := all[len(all)-1]
	return f.Match.Members[1-f.You].Session
}

// Waiting returns the pushes of how the search stood.
func (p *Person) Waiting() []Told {
	p.town.mu.Lock()
	defer p.town.mu.Unlock()
	return append([]Told(nil), p.waiting...)
}

// Stopped returns with what the searches were stopped.
func (p *Person) Stopped() []*protocol.Error {
	p.town.mu.Lock()
	defer p.town.mu.Unlock()
	return append([]*protocol.Error(nil), p.stopped...)
}

// Probes returns how often the person was asked for a sign of life.
func (p *Person) Probes() int {
	p.town.mu.Lock()
	defer p.town.mu.Unlock()
	return p.probes
}

// Whole fails the test unless of each match both sides were told, or one was and
// of the other it was said that it is absent. It is true when all is quiet.
func (town *Town) Whole() {
	town.t.Helper()
	town.mu.Lock()
	defer town.mu.Unlock()
	for id, r := range town.rooms {
		for i := range 2 {
			if (r.told[0] || r.told[1]) && !r.told[i] && !r.absent[i] {
				town.t.Errorf("match %s: %s was not told", id, r.match.Members[i].Session)
			}
		}
	}
}

// hooks writes into the town's book.
type hooks struct {
	town *Town
	node *Node
}

func (h hooks) Alive(ctx context.Context, s protocol.SessionID) bool {
	h.town.mu.Lock()
	p := h.town.people[s]
	if p != nil {
		p.probes++
	}
	ok := p != nil && !p.silent
	h.town.mu.Unlock()
	if p != nil && !ok {
		<-ctx.Done()
	}
	return ok
}

func (h hooks) Open(_ context.Context, m matchmaking.Match) error {
	h.town.mu.Lock()
	defer h.town.mu.Unlock()
	r := h.town.rooms[m.ID]
	if r == nil {
		r = &room{match: m}
		h.town.rooms[m.ID] = r
	}
	if r.match.Members[0].Session != m.Members[0].Session || r.match.Members[1].Session != m.Members[1].Session {
		h.town.t.Errorf("match %s is of %v and of %v", m.ID, r.match.Members, m.Members)
	}
	r.opened = true
	return nil
}

func (h hooks) Found(s protocol.SessionID, m matchmaking.Match, you int) {
	now := time.Now()
	h.town.mu.Lock()
	defer h.town.mu.Unlock()
	p, r := h.town.people[s], h.town.rooms[m.ID]
	switch {
	case p == nil || p.Node != h.node || m.Members[you].Session != s || m.Members[you].User != p.User || m.Members[you].Node != h.node.ID:
		h.town.t.Errorf("%s was told of match %s, which is not its own", s, m.ID)
		return
	case p.searching <= 0:
		h.town.t.Errorf("%s was told of match %s while not searching", s, m.ID)
	case r == nil || !r.opened:
		h.town.t.Errorf("%s was told of match %s before it has a room", s, m.ID)
		return
	case r.told[you]:
		h.town.t.Errorf("%s was told of match %s twice", s, m.ID)
	case m.Members[0].User == m.Members[1].User:
		h.town.t.Errorf("%s was matched with itself", m.Members[0].User)
	}
	r.told[you] = true
	p.searching--
	p.found = append(p.found, Found{m, you, now, now.Sub(m.Members[you].Since)})
}

func (h hooks) Absent(m matchmaking.Match, you int) {
	h.town.mu.Lock()
	defer h.town.mu.Unlock()
	if r := h.town.rooms[m.ID]; r != nil {
		r.absent[you] = true
		if r.told[you] {
			h.town.t.Errorf("match %s: %s was told and is absent", m.ID, m.Members[you].Session)
		}
	}
}

func (h hooks) Waiting(s protocol.SessionID, w protocol.Waiting) {
	h.town.mu.Lock()
	defer h.town.mu.Unlock()
	if p := h.town.people[s]; p != nil {
		if p.searching <= 0 && !p.refused {
			h.town.t.Errorf("%s was told how it waits while not searching", s)
		}
		p.waiting = append(p.waiting, Told{w, time.Now()})
	}
}

func (h hooks) Stopped(s protocol.SessionID, err *protocol.Error) {
	h.town.mu.Lock()
	defer h.town.mu.Unlock()
	if p := h.town.people[s]; p != nil {
		p.stopped = append(p.stopped, err)
		p.searching--
	}
}

// Crowd has n people on all nodes ask at the same instant and waits until all
// are paired, each with one.
func (town *Town) Crowd(n int, limit time.Duration) {
	t := town.t
	t.Helper()
	var people []*Person
	for i := range n {
		people = append(people, town.Nodes[i%len(town.Nodes)].Person(fmt.Sprintf("s%04d", i)))
	}
	start := make(chan struct{})
	var all sync.WaitGroup
	for _, p := range people {
		all.Go(func() {
			<-start
			if _, err := p.Find(matchmaking.Profile{}); err != nil {
				t.Errorf("%s: %v", p.Session, err)
			}
		})
	}
	began := time.Now()
	close(start)
	all.Wait()
	unpaired := func() (left int) {
		for _, p := range people {
			if len(p.Found()) == 0 {
				left++
			}
		}
		return left
	}
	for unpaired() > 0 {
		if time.Since(began) > limit {
			t.Fatalf("%d of %d have no partner after %v", unpaired(), n, limit)
		}
		<-time.After(2 * time.Millisecond)
	}
	t.Logf("%d people paired in %v", n, time.Since(began).Round(time.Millisecond))
	partner := map[protocol.SessionID]protocol.SessionID{}
	for _, p := range people {
		if found := p.Found(); len(found) != 1 {
			t.Errorf("%s has %d partners", p.Session, len(found))
		}
		partner[p.Session] = p.Partner()
	}
	for a, b := range partner {
		if partner[b] != a {
			t.Errorf("%s has %s, who has %s", a, b, partner[b])
		}
	}
	town.Whole()
}

// Storm has people on all nodes search, cancel, lose their sockets and fall
// silent, steps times each with random pauses, and returns when they are done.
func (town *Town) Storm(seed uint64, n, steps int, pause time.Duration) []*Person {
	var people []*Person
	for i := range n {
		people = append(people, town.Nodes[i%len(town.Nodes)].Person(fmt.Sprint("s", i)))
	}
	var all sync.WaitGroup
	for i, p := range people {
		rng := rand.New(rand.NewPCG(uint64(i), seed))
		all.Go(func() {
			for range steps {
				<-time.After(time.Duration(rng.Int64N(int64(pause))))
				p.step(rng)
			}
		})
	}
	all.Wait()
	return people
}

// step is one thing that somebody does.
func (p *Person) step(rng *rand.Rand) {
	switch rng.IntN(9) {
	case 0:
		p.Cancel()
	case 1:
		p.Node.Suspend(p.Session)
	case 2:
		p.Node.Resume(context.Background(), p.Session)
	case 3:
		p.Silence(rng.IntN(3) == 0)
	default:
		wish := matchmaking.Profile{}
		if rng.IntN(2) == 0 {
			wish.Tags = []string{fmt.Sprint("t", rng.IntN(5))}
		}
		if rng.IntN(2) == 0 {
			wish.Languages = []string{fmt.Sprint("l", rng.IntN(3))}
		}
		_, _ = p.Find(wish) // it may search already, or get no answer
	}
}

// Calm wakes all people of a storm and fails the test unless, within the limit,
// all who still search have found each other (but for an odd one) and the book
// is whole. It returns how many are left.
func (town *Town) Calm(people []*Person, limit time.Duration) (left int) {
	town.t.Helper()
	for _, p := range people {
		p.Silence(false)
		p.Node.Resume(context.Background(), p.Session)
	}
	searching := func() (n int) {
		for _, p := range people {
			if _, ok := p.Node.Status(p.Session); ok {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(limit); searching() > 1; {
		if time.Now().After(end) {
			town.t.Errorf("%d people still search", searching())
			break
		}
		<-time.After(50 * time.Millisecond)
	}
	<-time.After(10 * time.Second) // what is under way ends: a lost message, or a probe and the next
	town.Whole()
	return searching()
}

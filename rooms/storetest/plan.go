package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
)

// model is a room as simply as it can be told. Two stores that agree with it in
// each step agree with each other.
type model struct {
	kind     rooms.Kind
	capacity int
	passcode string
	version  int
	next     int
	ended    bool
	members  []string // "id session node name away"
}

func (m *model) find(session string) int {
	return slices.IndexFunc(m.members, func(s string) bool {
		var id, who string
		_, _ = fmt.Sscan(s, &id, &who)
		return who == session
	})
}

// on reports whether the member at i is on the node.
func (m *model) on(i, node int) bool {
	var id, who, at string
	_, _ = fmt.Sscan(m.members[i], &id, &who, &at)
	return at == fmt.Sprintf("n%d", node)
}

func show(m rooms.Member) string {
	return fmt.Sprintf("%s %s %s %s %v", m.ID, m.Session, m.Node, m.Name, m.Away)
}

// plan runs random steps on registries of two nodes and on models.
type plan struct {
	t      *testing.T
	rnd    *rand.Rand
	nodes  []*rooms.Registry
	rooms  []protocol.RoomID
	models map[protocol.RoomID]*model
	step   string // what is done now, for messages
}

func testRandomPlans(t *testing.T, open func(t testing.TB) rooms.Store) {
	s := open(t)
	nodes := []*rooms.Registry{start(t, s, "n0", nil), start(t, s, "n1", nil)}
	for seed := range uint64(12) {
		p := &plan{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), nodes: nodes, models: map[protocol.RoomID]*model{}}
		p.open(fmt.Sprintf("match%d", seed))
		p.create(2, "")
		p.create(3, "sesame")
		for i := range 120 {
			p.step = fmt.Sprintf("seed %d step %d", seed, i)
			p.random()
		}
	}
}

func (p *plan) open(id string) {
	room := rooms.Room{ID: protocol.RoomID(id), Mode: protocol.ModeVideo}
	m := &model{kind: rooms.Matched, capacity: 2, version: 1, next: 3}
	for i := range 2 {
		member := rooms.Member{ID: protocol.MemberID(strconv.Itoa(i + 1)), Session: protocol.SessionID("s" + strconv.Itoa(i)), Node: protocol.NodeID("n" + strconv.Itoa(i)), Name: "N"}
		room.Members = append(room.Members, member)
		m.members = append(m.members, show(member))
	}
	for _, r := range p.nodes { // both sides open it
		got, err := r.Open(p.t.Context(), room)
		p.same(m, got, err, "")
	}
	p.rooms = append(p.rooms, room.ID)
	p.models[room.ID] = m
}

func (p *plan) create(capacity int, passcode string) {
	got, first, err := p.nodes[0].Create(p.t.Context(), protocol.RoomCreate{Capacity: capacity, Passcode: passcode}, rooms.Member{Session: "s0", Name: "N"})
	m := &model{kind: rooms.Named, capacity: capacity, passcode: passcode, version: 1, next: 2, members: []string{show(first)}}
	p.same(m, got, err, "")
	p.rooms = append(p.rooms, got.ID)
	p.models[got.ID] = m
}

// random does one step, twice now and then: a retry must change nothing.
func (p *plan) random() {
	id := p.rooms[p.rnd.IntN(len(p.rooms))]
	if p.rnd.IntN(20) == 0 {
		id = []protocol.RoomID{"nowhere", "", "a b", "{x}"}[p.rnd.IntN(4)]
	}
	node, session := p.rnd.IntN(2), "s"+strconv.Itoa(p.rnd.IntN(5))
	name, away, known := "N"+strconv.Itoa(p.rnd.IntN(2)), p.rnd.IntN(2) == 0, p.rnd.IntN(8) > 0
	what := p.rnd.IntN(5)
	for range 1 + p.rnd.IntN(2) {
		switch what {
		case 0:
			p.join(id, node, session, known)
		case 1:
			p.leave(id, node, session)
		case 2:
			p.away(id, node, session, away)
		case 3:
			p.rename(id, node, session, name)
		case 4:
			got, err := p.nodes[node].Get(p.t.Context(), id)
			p.same(p.models[id], got, err, p.there(id))
		}
	}
}

// there is the error of a call to a room that must be there.
func (p *plan) there(id protocol.RoomID) protocol.Code {
	if m := p.models[id]; m == nil || m.ended {
		return protocol.CodeNotFound
	}
	return ""
}

func (p *plan) join(id protocol.RoomID, node int, session string, known bool) {
	m, passcode, code := p.models[id], "", p.there(id)
	if m != nil && known {
		passcode = m.passcode
	}
	seat := ""
	if code == "" {
		i := m.find(session)
		var id, name, away string
		switch {
		case i >= 0:
			var before string
			_, _ = fmt.Sscan(m.members[i], &id, &session, &before, &name, &away)
			seat = fmt.Sprintf("%s %s n%d %s %s", id, session, node, name, away)
			if seat != m.members[i] {
				m.version++
			}
			m.members[i] = seat
		case m.kind == rooms.Matched:
			code = protocol.CodeNotFound
		case m.passcode != passcode:
			code = protocol.CodePasscode
		case len(m.members) == m.capacity:
			code = protocol.CodeRoomFull
		default:
			seat = fmt.Sprintf("%d %s n%d N false", m.next, session, node)
			m.members = append(m.members, seat)
			m.next++
			m.version++
		}
	}
	got, member, err := p.nodes[node].Join(p.t.Context(), id, rooms.Member{Session: protocol.SessionID(session), Name: "N"}, passcode)
	p.same(m, got, err, code)
	if err == nil && show(member) != seat {
		p.t.Fatalf("%s: joined as %q, want %q", p.step, show(member), seat)
	}
}

func (p *plan) leave(id protocol.RoomID, node int, session string) {
	got, gone, err := p.nodes[node].Leave(p.t.Context(), id, protocol.SessionID(session))
	m := p.models[id]
	if m == nil {
		if err != nil || got.ID != id || gone != (rooms.Member{}) {
			p.t.Fatalf("%s: Leave of no room = %+v, %+v, %v", p.step, got, gone, err)
		}
		return
	}
	want := ""
	if i := m.find(session); i >= 0 && m.on(i, node) {
		want = m.members[i]
		m.members = slices.Delete(m.members, i, i+1)
		m.version++
		m.ended = m.kind == rooms.Matched
	}
	p.same(m, got, err, "")
	if want == "" && gone != (rooms.Member{}) || want != "" && show(gone) != want {
		p.t.Fatalf("%s: left %q, want %q", p.step, show(gone), want)
	}
}

func (p *plan) away(id protocol.RoomID, node int, session string, away bool) {
	got, err := p.nodes[node].SetAway(p.t.Context(), id, protocol.SessionID(session), away)
	m, code := p.change(id, node, session, func(member *rooms.Member) { member.Away = away })
	p.same(m, got, err, code)
}

func (p *plan) rename(id protocol.RoomID, node int, session, name string) {
	got, _, err := p.nodes[node].Rename(p.t.Context(), id, protocol.SessionID(session), name)
	m, code := p.change(id, node, session, func(member *rooms.Member) { member.Name = name })
	p.same(m, got, err, code)
}

func (p *plan) change(id protocol.RoomID, node int, session string, f func(*rooms.Member)) (*model, protocol.Code) {
	m := p.models[id]
	if code := p.there(id); code != "" {
		return m, code
	}
	i := m.find(session)
	if i < 0 || !m.on(i, node) {
		return m, protocol.CodeNotFound
	}
	var member rooms.Member
	_, _ = fmt.Sscan(m.members[i], &member.ID, &member.Session, &member.Node, &member.Name, &member.Away)
	f(&member)
	if show(member) != m.members[i] {
		m.version++
		m.members[i] = show(member)
	}
	return m, ""
}

// same fails the test unless the registry's answer is the model's.
func (p *plan) same(m *model, got rooms.Room, err error, code protocol.Code) {
	p.t.Helper()
	if protocol.CodeOf(err) != code {
		p.t.Fatalf("%s: error %v, want code %q", p.step, err, code)
	}
	if err != nil {
		return
	}
	var members []string
	for _, member := range got.Members {
		members = append(members, show(member))
	}
	if int(got.Version) != m.version || got.Ended != m.ended || got.Kind != m.kind || got.Locked != (m.passcode != "") || !slices.Equal(members, m.members) {
		p.t.Fatalf("%s: room %+v\nwant %+v", p.step, got, *m)
	}
}

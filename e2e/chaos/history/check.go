package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// checker holds what Check needs of all clients at once.
type checker struct {
	run     *Run
	faults  []span // with the time to recover, merged
	stops   []span
	clients []*client
	byName  map[string]*client
	rooms   map[string][]*stay
	said    map[string][]acked // by room
	later   []func()           // checks that need all logs
	found   []Violation
	lost    int // excused losses
}

// acked is a chat message that the server took.
type acked struct {
	by  *client
	id  string
	off uint64
	at  time.Duration
}

func (k *checker) add(r Rule, at time.Duration, format string, args ...any) {
	k.found = append(k.found, Violation{r, at, fmt.Sprintf(format, args...)})
}

// Check returns every broken promise, in the order of time.
func (r *Run) Check() []Violation {
	return newChecker(r).found
}

func newChecker(r *Run) *checker {
	k := &checker{run: r, byName: map[string]*client{}, rooms: map[string][]*stay{}, said: map[string][]acked{}}
	for _, f := range r.Faults {
		k.faults = append(k.faults, span{f.From, f.To + r.Expect.Recover})
		if f.Stops {
			k.stops = append(k.stops, span{f.From, f.To + r.Expect.Slack})
		}
	}
	k.faults, k.stops = merge(k.faults), merge(k.stops)
	for _, l := range r.Logs {
		k.collectSaid(l)
	}
	for _, l := range r.Logs {
		c := k.walk(l)
		k.clients = append(k.clients, c)
		k.byName[l.Name] = c
		for _, s := range c.stays {
			k.rooms[s.room] = append(k.rooms[s.room], s)
		}
	}
	for _, check := range k.later {
		check()
	}
	for room, stays := range k.rooms {
		k.members(room, stays)
		k.chats(room, stays)
	}
	for _, c := range k.clients {
		k.signals(c)
	}
	k.waits()
	slices.SortFunc(k.found, func(a, b Violation) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Text, b.Text)) })
	return k
}

// merge joins overlapping spans.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var out []span
	for _, s := range spans {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// clear is the first moment from t on at which no fault excuses anything.
func (k *checker) clear(t time.Duration) time.Duration {
	for _, f := range k.faults {
		if f.from <= t && t < f.to {
			return f.to
		}
	}
	return t
}

// due is when what began at t must be done if it may take d undisturbed: a
// fault that begins meanwhile starts the count anew.
func (k *checker) due(t, d time.Duration) time.Duration {
	t = k.clear(t)
	for _, f := range k.faults {
		if f.from >= t && f.from < t+d {
			t = f.to
		}
	}
	return t + d
}

// excused reports whether a fault that fits lies within s.
func (k *checker) excused(s span, fits func(Fault) bool) bool {
	for _, f := range k.run.Faults {
		if fits(f) && f.From < s.to && s.from < f.To+k.run.Expect.Recover {
			return true
		}
	}
	return false
}

func (k *checker) loses(s span) bool {
	return !k.run.Expect.BusSurvives && k.excused(s, func(f Fault) bool { return f.Loses })
}

func (k *checker) wiped(s span) bool {
	return !k.run.Expect.ChatSurvives && k.excused(s, func(f Fault) bool { return f.Wipes })
}

// mayLose reports whether a session of node may have been lost by a client
// that was down from began to at.
func (k *checker) mayLose(node string, began, at time.Duration) bool {
	if began >= 0 && at-began > k.run.Expect.Grace-time.Second {
		return true
	}
	for _, f := range k.run.Faults {
		if f.Kills == node && f.From <= at && !k.run.Expect.ResumeElsewhere || f.Denies && f.From <= at && began <= f.To+k.run.Expect.Recover {
			return true
		}
	}
	return false
}

// ghost checks that the partner was there when this client asked, or later.
func (k *checker) ghost(w *walker, s *stay) {
	if w.search == nil {
		return
	}
	asked := w.search.asked
	k.later = append(k.later, func() {
		p := k.byName[s.peer]
		if p == nil {
			k.add(RuleForged, s.from, "%s was matched with %q, whom nobody knows", s.client.log.Name, s.peer)
			return
		}
		ex := k.run.Expect
		before := asked - ex.Ghost
		if p.dead() && p.end < before {
			k.add(RuleGhost, s.from, "%s asked at %v and met %s, gone since %v", s.client.log.Name, asked, s.peer, p.end)
		} else if p.isDown(span{before, s.from + ex.Slack}) { // its Up may be written down late
			k.add(RuleGhost, s.from, "%s asked at %v and met %s, who had no connection", s.client.log.Name, asked, s.peer)
		}
	})
}

// members checks who was told of a room.
func (k *checker) members(room string, stays []*stay) {
	if len(stays) > 2 {
		var who []string
		for _, s := range stays {
			who = append(who, s.client.log.Name)
		}
		k.add(RuleThird, stays[2].from, "room %s has %v", room, who)
		return
	}
	a := stays[0]
	if p := k.byName[a.peer]; p != nil && p.log.Person() == a.client.log.Person() {
		k.add(RuleSelf, a.from, "%s met %s in %s", a.client.log.Name, a.peer, room)
	}
	if len(stays) == 1 {
		if due := k.due(a.from, k.run.Expect.Undo); min(a.quit, a.client.end) > due {
			k.add(RuleHalf, a.from, "%s was told of %s, %s was not, until %v", a.client.log.Name, room, a.peer, min(a.to, a.client.end))
		}
		return
	}
	b := stays[1]
	if a.peer != b.client.log.Name || b.peer != a.client.log.Name || a.seat == b.seat || a.offerer == b.offerer {
		k.add(RuleSides, max(a.from, b.from), "room %s: %s (seat %s, offers %t) met %s; %s (seat %s, offers %t) met %s", room,
			a.client.log.Name, a.seat, a.offerer, a.peer, b.client.log.Name, b.seat, b.offerer, b.peer)
	}
	k.alone(a, b)
	k.alone(b, a)
	k.torn(a, b)
	k.torn(b, a)
}

// alone checks that b learned that a is gone.
func (k *checker) alone(a, b *stay) {
	gone := a.quit
	if gone == forever {
		gone = a.to
	}
	if a.why == End {
		return
	}
	if due := k.due(max(gone, b.from), k.run.Expect.Undo); min(b.quit, b.client.end) > due {
		k.add(RuleAlone, due, "%s sits in %s although %s is out since %v (%s)", b.client.log.Name, b.room, a.client.log.Name, gone, a.why)
	}
}

// torn checks that a was not told that b is gone while b sat there, connected and
// undisturbed.
func (k *checker) torn(a, b *stay) {
	if a.why != PeerLeft && a.why != Closed || a.to > min(b.quit, b.to, b.client.end)-k.run.Expect.Slack {
		return
	}
	if b.from > a.to || b.client.isDown(span{a.to, a.to}) || k.excused(span{a.from, a.to}, func(Fault) bool { return true }) {
		return
	}
	k.add(RuleTorn, a.to, "%s was told that %s is out of %s, which it is not", a.client.log.Name, b.client.log.Name, a.room)
}

// over is when the room began to end: from then on nothing is promised.
func over(stays []*stay) time.Duration {
	t := forever
	for _, s := range stays {
		t = min(t, s.quit, s.to)
	}
	return t
}

// mustHave reports whether and when s must have received what the server took at t.
func (k *checker) mustHave(s *stay, t time.Duration, end time.Duration) (due time.Duration, must bool) {
	ex := k.run.Expect
	due = k.due(t, ex.Settle)
	if s.resynced || s.from > t {
		return due, false
	}
	for _, d := range s.client.downs { // it has Settle after it came back
		if d.from < due && t < d.to {
			if d.to == forever {
				return due, false
			}
			due = max(due, k.due(d.to, ex.Settle))
		}
	}
	return due, min(s.quit, s.to, s.client.end, end) > due
}

// signals checks that what the server took for a partner reached it.
func (k *checker) signals(c *client) {
	var batch []Event
	for _, e := range c.log.Events {
		switch e.Kind {
		case Send:
			batch = append(batch, e)
		case SendNo:
			batch = nil
		case SendOK:
			for _, sent := range batch {
				k.signal(c, sent, e.At)
			}
			batch = nil
		}
	}
}

func (k *checker) signal(c *client, sent Event, at time.Duration) {
	stays := k.rooms[sent.Room]
	for _, s := range stays {
		if s.client == c {
			continue
		}
		if _, ok := s.got[sent.ID]; ok {
			continue
		}
		due, must := k.mustHave(s, at, over(stays))
		if _, _, n, _ := parseID(sent.ID); !must && (s.resynced || n > s.last[c.log.Name]) {
			continue // no later one came either, and there was not time enough
		}
		if k.loses(span{sent.At, due}) || k.killed(c, at) {
			k.lost++
			continue
		}
		k.add(RuleSignal, at, "%s never got %s", s.client.log.Name, sent.ID)
	}
}

// killed reports whether the node that took something from c at t died with it
// in its hands.
func (k *checker) killed(c *client, at time.Duration) bool {
	node := ""
	for _, e := range c.log.Events {
		if e.At > at {
			break
		}
		if e.Node != "" {
			node = e.Node
		}
	}
	for _, f := range k.run.Faults {
		if f.Kills == node && f.From >= at-k.run.Expect.Slack && f.From < at+time.Second {
			return true
		}
	}
	return false
}

// collectSaid notes what chat messages the server took.
func (k *checker) collectSaid(l *Log) {
	for _, e := range l.Events {
		if e.Kind == SayOK {
			k.said[e.Room] = append(k.said[e.Room], acked{&client{log: l}, e.ID, e.Off, e.At})
		}
	}
}

// chats checks the chat of a room: one order for all, nothing lost.
func (k *checker) chats(room string, stays []*stay) {
	end := over(stays)
	began := forever
	for _, s := range stays {
		began = min(began, s.from)
	}
	byOff, byID := map[uint64]string{}, map[string]uint64{}
	number := func(at time.Duration, off uint64, id string) {
		if at >= end { // what is said into a room that ends is lost with it
			return
		}
		if !k.wiped(span{began, end}) {
			if old, ok := byOff[off]; ok && old != id {
				k.add(RuleFork, at, "room %s: number %d is %s and %s", room, off, old, id)
			}
			if old, ok := byID[id]; ok && old != off {
				k.add(RuleFork, at, "room %s: %s has the numbers %d and %d", room, id, old, off)
			}
		}
		byOff[off], byID[id] = id, off
	}
	for _, m := range k.said[room] {
		if m.at < end {
			number(m.at, m.off, m.id)
		}
	}
	for _, s := range stays {
		for id, h := range s.heard {
			number(h.at, h.off, id)
		}
		for _, m := range k.said[room] {
			if _, ok := s.heard[m.id]; ok || m.at >= end {
				continue
			}
			due, must := k.mustHave(s, m.at, end)
			if !must && (s.resynced || m.off > s.off) {
				continue
			}
			if k.wiped(span{began, due}) || k.loses(span{m.at, due}) {
				k.lost++
				continue
			}
			k.add(RuleChat, m.at, "%s never heard %s (number %d)", s.client.log.Name, m.id, m.off)
		}
	}
}

// page checks the room's chat as it was read: it has all that was acknowledged
// before, without holes.
func (k *checker) page(w *walker, e *Event) {
	s := w.past[e.Room]
	if s == nil || k.wiped(span{s.from, e.At}) {
		return
	}
	if k.excused(span{e.At - e.Took, e.At}, func(f Fault) bool { return f.Wipes }) {
		return // the nodes are putting it back, or are about to
	}
	holes := k.excused(span{s.from, e.At}, func(f Fault) bool { return f.Wipes }) // numbers are left out then
	k.later = append(k.later, func() {
		if e.At < over(k.rooms[e.Room]) { // the chat ends with the room
			k.whole(w.c, e, holes)
		}
	})
}

// whole checks one page.
func (k *checker) whole(c *client, e *Event, holes bool) {
	has := map[string]bool{}
	for i, m := range e.Page {
		has[m.ID] = true
		if i > 0 && (m.Off <= e.Page[i-1].Off || m.Off != e.Page[i-1].Off+1 && !holes) {
			k.add(RuleHistory, e.At, "room %s: number %d after %d", e.Room, m.Off, e.Page[i-1].Off)
		}
	}
	for _, m := range k.said[e.Room] {
		if m.at <= e.At-e.Took && !has[m.id] && len(e.Page) < 100 {
			k.add(RuleHistory, e.At, "%s: the history of %s lacks %s, acknowledged %v before", c.log.Name, e.Room, m.id, e.At-e.Took-m.at)
		}
	}
}

// waits checks that no two people wait side by side for long.
func (k *checker) waits() {
	var all []*search
	for _, c := range k.clients {
		all = append(all, c.searches...)
	}
	slices.SortFunc(all, func(a, b *search) int { return cmp.Compare(a.from, b.from) })
	told := map[*search]bool{}
	for i, a := range all {
		for _, b := range all[i+1:] {
			if b.from >= a.to || told[a] {
				break
			}
			if a.client.log.Person() == b.client.log.Person() {
				continue
			}
			due := k.due(b.from, k.run.Expect.Wait)
			if min(a.to, b.to, a.client.end, b.client.end) > due {
				told[a] = true
				k.add(RuleWait, due, "%s (since %v) and %s (since %v) wait side by side", a.client.log.Name, a.from, b.client.log.Name, b.from)
			}
		}
	}
}

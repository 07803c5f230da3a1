package history

import (
	"slices"
	"testing"
	"time"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

func expect() Expect {
	return Expect{Grace: 10 * sec, Recover: 2 * sec, Settle: 2 * sec, Undo: 10 * sec, Wait: 5 * sec, Answer: 3 * sec,
		Back: 3 * sec, Ghost: sec, Slack: 200 * ms}
}

// quietRun is a run in which nothing is wrong: ann and bo meet in k1, talk, part;
// ann and cy meet in k2; dee looks on.
func quietRun() *Run {
	return &Run{Expect: expect(), Logs: []*Log{
		{Name: "ann.1", Events: []Event{
			{At: 0, Kind: Hello, Node: "n1"},
			{At: 1 * sec, Kind: Ask}, {At: 1100 * ms, Kind: AskOK, Took: 100 * ms},
			{At: 2 * sec, Kind: Told, Room: "k1", Peer: "bo.1", Seat: "1", Offerer: true},
			{At: 3 * sec, Kind: Send, Room: "k1", ID: "ann.1/k1/1"}, {At: 3 * sec, Kind: Send, Room: "k1", ID: "ann.1/k1/2"},
			{At: 3100 * ms, Kind: SendOK, Took: 100 * ms},
			{At: 4 * sec, Kind: Say, Room: "k1", ID: "ann.1/k1/3"},
			{At: 4100 * ms, Kind: Heard, Room: "k1", ID: "ann.1/k1/3", Off: 1, Seat: "1"},
			{At: 4200 * ms, Kind: SayOK, Room: "k1", ID: "ann.1/k1/3", Off: 1, Took: 200 * ms},
			{At: 5 * sec, Kind: Heard, Room: "k1", ID: "bo.1/k1/1", Off: 2, Seat: "2"},
			{At: 7 * sec, Kind: Pages, Room: "k1", Took: 100 * ms, Page: []Message{{1, "ann.1/k1/3"}, {2, "bo.1/k1/1"}}},
			{At: 10 * sec, Kind: Quit, Room: "k1"}, {At: 10 * sec, Kind: Ask},
			{At: 10100 * ms, Kind: QuitOK, Room: "k1"}, {At: 10100 * ms, Kind: AskOK, Took: 100 * ms},
			{At: 11 * sec, Kind: Told, Room: "k2", Peer: "cy.1", Seat: "2"},
			{At: 40 * sec, Kind: End},
		}},
		{Name: "bo.1", Events: []Event{
			{At: 0, Kind: Hello, Node: "n2"},
			{At: 1500 * ms, Kind: Ask}, {At: 1600 * ms, Kind: AskOK, Took: 100 * ms},
			{At: 2 * sec, Kind: Told, Room: "k1", Peer: "ann.1", Seat: "2"},
			{At: 3050 * ms, Kind: Got, Room: "k1", ID: "ann.1/k1/1", Seat: "1"}, {At: 3060 * ms, Kind: Got, Room: "k1", ID: "ann.1/k1/2", Seat: "1"},
			{At: 4100 * ms, Kind: Heard, Room: "k1", ID: "ann.1/k1/3", Off: 1, Seat: "1"},
			{At: 4900 * ms, Kind: Say, Room: "k1", ID: "bo.1/k1/1"},
			{At: 5 * sec, Kind: Heard, Room: "k1", ID: "bo.1/k1/1", Off: 2, Seat: "2"},
			{At: 5 * sec, Kind: SayOK, Room: "k1", ID: "bo.1/k1/1", Off: 2, Took: 100 * ms},
			{At: 6 * sec, Kind: Down}, {At: 6500 * ms, Kind: Up, Node: "n2"},
			{At: 10050 * ms, Kind: PeerLeft, Room: "k1", Seat: "1"},
			{At: 12 * sec, Kind: Bye},
		}},
		{Name: "cy.1", Events: []Event{
			{At: 0, Kind: Hello, Node: "n2"},
			{At: 9 * sec, Kind: Ask}, {At: 9100 * ms, Kind: AskOK, Took: 100 * ms},
			{At: 11 * sec, Kind: Told, Room: "k2", Peer: "ann.1", Seat: "1", Offerer: true},
			{At: 40 * sec, Kind: End},
		}},
		{Name: "dee.1", Events: []Event{{At: 0, Kind: Hello, Node: "n1"}, {At: 40 * sec, Kind: End}}},
	}}
}

// log returns the log of a client.
func (r *Run) log(name string) *Log {
	return r.Logs[slices.IndexFunc(r.Logs, func(l *Log) bool { return l.Name == name })]
}

// put adds events in the order of time.
func (l *Log) put(events ...Event) {
	l.Events = append(l.Events, events...)
	slices.SortStableFunc(l.Events, func(a, b Event) int { return int(a.At - b.At) })
}

// drop removes the events that fit.
func (l *Log) drop(fits func(Event) bool) { l.Events = slices.DeleteFunc(l.Events, fits) }

func (l *Log) edit(fits func(Event) bool, f func(*Event)) {
	for i := range l.Events {
		if fits(l.Events[i]) {
			f(&l.Events[i])
		}
	}
}

func is(k Kind, room string) func(Event) bool {
	return func(e Event) bool { return e.Kind == k && e.Room == room }
}

func id(id string, k Kind) func(Event) bool {
	return func(e Event) bool { return e.Kind == k && e.ID == id }
}

func TestQuietRun(t *testing.T) {
	sum, found := quietRun().Summary()
	if len(found) > 0 {
		t.Fatalf("%v", found)
	}
	if sum.Clients != 4 || sum.Matches != 2 || sum.Undone != 0 || sum.Resumed != 1 || sum.Signals != 1 || sum.Chats != 2 || sum.Received != 6 {
		t.Fatalf("%+v", sum)
	}
}

// TestSearchGoesOn: a match that dies with the node that told of it leaves who was told where it was, searching; the server says so.
func TestSearchGoesOn(t *testing.T) {
	r := quietRun()
	r.log("cy.1").put(Event{At: 9500 * ms, Kind: Told, Room: "k3", Peer: "eve.1", Seat: "1", Offerer: true}, Event{At: 9510 * ms, Kind: Down},
		Event{At: 10 * sec, Kind: Up, Node: "n1"}, Event{At: 10 * sec, Kind: Resync, Searching: true})
	r.Logs = append(r.Logs, &Log{Name: "eve.1", Events: []Event{{At: 0, Kind: Hello, Node: "n1"}, {At: 9 * sec, Kind: Ask}, {At: 9100 * ms, Kind: AskOK, Took: 100 * ms},
		{At: 9500 * ms, Kind: Told, Room: "k3", Peer: "cy.1", Seat: "2"}, {At: 9700 * ms, Kind: PeerLeft, Room: "k3"}, {At: 40 * sec, Kind: End}}})
	r.Faults = []Fault{{Name: "kill -9", From: 9500 * ms, To: 9500 * ms, Kills: "n2"}}
	if _, found := r.Summary(); len(found) > 0 {
		t.Fatalf("%v", found)
	}
}

// TestEachBug plants one bug each into the quiet run: the checker must name it, and
// nothing else.
func TestEachBug(t *testing.T) {
	for _, bug := range []struct {
		name string
		rule Rule
		do   func(r *Run)
	}{
		{"a third person in a room", RuleThird, func(r *Run) {
			r.log("dee.1").put(Event{At: sec, Kind: Ask}, Event{At: 3 * sec, Kind: Told, Room: "k1", Peer: "ann.1", Seat: "1"},
				Event{At: 4 * sec, Kind: PeerLeft, Room: "k1"})
		}},
		{"both are the offerer", RuleSides, func(r *Run) {
			r.log("bo.1").edit(is(Told, "k1"), func(e *Event) { e.Offerer = true })
		}},
		{"both sit in the same seat", RuleSides, func(r *Run) {
			r.log("ann.1").edit(is(Told, "k2"), func(e *Event) { e.Seat = "1" })
		}},
		{"who is there is told to be gone", RuleTorn, func(r *Run) {
			r.log("ann.1").put(Event{At: 20 * sec, Kind: PeerLeft, Room: "k2"})
			r.log("cy.1").put(Event{At: 21 * sec, Kind: Quit, Room: "k2"}, Event{At: 21 * sec, Kind: QuitOK, Room: "k2"})
		}},
		{"a match told to one side only", RuleHalf, func(r *Run) { r.log("cy.1").drop(is(Told, "k2")) }},
		{"the partner's end is not told", RuleAlone, func(r *Run) {
			r.log("bo.1").drop(func(e Event) bool { return e.Kind == PeerLeft || e.Kind == Bye })
			r.log("bo.1").put(Event{At: 40 * sec, Kind: End})
		}},
		{"matched while in a room", RuleTwoRooms, func(r *Run) {
			r.log("ann.1").put(Event{At: 20 * sec, Kind: Ask}, Event{At: 21 * sec, Kind: Told, Room: "k3", Peer: "dee.1", Seat: "1"},
				Event{At: 22 * sec, Kind: PeerLeft, Room: "k3"})
			r.log("cy.1").put(Event{At: 21 * sec, Kind: PeerLeft, Room: "k2"})
		}},
		{"told twice", RuleAgain, func(r *Run) {
			r.log("ann.1").put(Event{At: 12 * sec, Kind: Told, Room: "k2", Peer: "cy.1", Seat: "2"})
		}},
		{"matched after a cancel", RuleUnasked, func(r *Run) {
			r.log("cy.1").put(Event{At: 9500 * ms, Kind: Quit}, Event{At: 9600 * ms, Kind: QuitOK})
		}},
		{"matched after the end of a room that was left", RuleUnasked, func(r *Run) {
			r.log("bo.1").put(Event{At: 10060 * ms, Kind: Quit, Room: "k1"}, Event{At: 10070 * ms, Kind: QuitOK, Room: "k1"},
				Event{At: 10080 * ms, Kind: Resync, Searching: true})
			r.log("bo.1").drop(func(e Event) bool { return e.Kind == Bye })
			r.log("cy.1").edit(is(Told, "k2"), func(e *Event) { e.Peer = "bo.1" })
			r.log("bo.1").put(Event{At: 11 * sec, Kind: Told, Room: "k2", Peer: "cy.1", Seat: "2"}, Event{At: 40 * sec, Kind: End})
			r.log("ann.1").drop(func(e Event) bool {
				return is(Told, "k2")(e) || e.Kind == End || e.At >= 10*sec && (e.Kind == Ask || e.Kind == AskOK)
			})
		}},
		{"matched with oneself", RuleSelf, func(r *Run) {
			r.log("cy.1").Name = "ann.0"
			r.log("ann.1").edit(is(Told, "k2"), func(e *Event) { e.Peer = "ann.0" })
		}},
		{"matched with who had said bye", RuleGhost, func(r *Run) {
			r.log("cy.1").drop(func(e Event) bool { return e.Kind == Told || e.Kind == End })
			r.log("cy.1").put(Event{At: 9200 * ms, Kind: Bye})
			r.log("ann.1").edit(func(e Event) bool { return e.At == 10*sec && e.Kind == Ask }, func(e *Event) { e.At = 10500 * ms })
			r.log("ann.1").put(Event{At: 12 * sec, Kind: PeerLeft, Room: "k2"})
		}},
		{"matched with who had no connection", RuleGhost, func(r *Run) {
			r.log("cy.1").put(Event{At: 9100 * ms, Kind: Cut}, Event{At: 9200 * ms, Kind: Down},
				Event{At: 15 * sec, Kind: Mended}, Event{At: 15500 * ms, Kind: Up, Node: "n2"})
			r.log("cy.1").edit(is(Told, "k2"), func(e *Event) { e.At = 15600 * ms })
			r.log("ann.1").edit(func(e Event) bool { return e.At == 10*sec && e.Kind == Ask }, func(e *Event) { e.At = 10500 * ms })
			slices.SortStableFunc(r.log("cy.1").Events, func(a, b Event) int { return int(a.At - b.At) })
		}},
		{"signals change places", RuleOrder, func(r *Run) {
			r.log("bo.1").edit(id("ann.1/k1/1", Got), func(e *Event) { e.At = 3070 * ms })
			slices.SortStableFunc(r.log("bo.1").Events, func(a, b Event) int { return int(a.At - b.At) })
		}},
		{"chat changes places", RuleOrder, func(r *Run) {
			r.log("ann.1").edit(id("bo.1/k1/1", Heard), func(e *Event) { e.At = 4050 * ms })
			slices.SortStableFunc(r.log("ann.1").Events, func(a, b Event) int { return int(a.At - b.At) })
		}},
		{"a signal twice", RuleDouble, func(r *Run) {
			r.log("bo.1").put(Event{At: 7 * sec, Kind: Got, Room: "k1", ID: "ann.1/k1/2", Seat: "1"})
		}},
		{"a chat message twice", RuleDouble, func(r *Run) {
			r.log("bo.1").put(Event{At: 7 * sec, Kind: Heard, Room: "k1", ID: "ann.1/k1/3", Off: 1, Seat: "1"})
		}},
		{"a signal for strangers", RuleOutside, func(r *Run) {
			r.log("dee.1").put(Event{At: 3 * sec, Kind: Got, Room: "k1", ID: "ann.1/k1/1", Seat: "1"})
		}},
		{"a signal of the room before", RuleOutside, func(r *Run) {
			r.log("ann.1").put(Event{At: 11 * sec, Kind: Got, Room: "k1", ID: "bo.1/k1/9", Seat: "2"})
		}},
		{"a signal under another room's name", RuleOutside, func(r *Run) {
			r.log("ann.1").put(Event{At: 12 * sec, Kind: Got, Room: "k2", ID: "bo.1/k1/9", Seat: "1"})
		}},
		{"a signal under another's seat", RuleForged, func(r *Run) {
			r.log("bo.1").edit(id("ann.1/k1/2", Got), func(e *Event) { e.Seat = "2" })
		}},
		{"a signal lost", RuleSignal, func(r *Run) { r.log("bo.1").drop(id("ann.1/k1/2", Got)) }},
		{"a chat message lost", RuleChat, func(r *Run) { r.log("bo.1").drop(id("ann.1/k1/3", Heard)) }},
		{"a signal lost in a fault, and the next one came", RuleSignal, func(r *Run) {
			r.log("bo.1").drop(id("ann.1/k1/1", Got))
			r.Faults = []Fault{{Name: "stop", From: 2 * sec, To: 9 * sec, Stops: true}}
		}},
		{"a chat message lost in a fault, and the next one came", RuleChat, func(r *Run) {
			r.log("bo.1").drop(id("ann.1/k1/3", Heard))
			r.Faults = []Fault{{Name: "stop", From: 2 * sec, To: 9 * sec, Stops: true}}
		}},
		{"an acknowledged message is not kept", RuleHistory, func(r *Run) {
			r.log("ann.1").edit(is(Pages, "k1"), func(e *Event) { e.Page = e.Page[:1] })
		}},
		{"a hole in the history", RuleHistory, func(r *Run) {
			r.log("ann.1").edit(is(Pages, "k1"), func(e *Event) { e.Page = append(e.Page, Message{4, "bo.1/k1/2"}) })
		}},
		{"two messages under one number", RuleFork, func(r *Run) {
			r.log("bo.1").edit(id("bo.1/k1/1", Heard), func(e *Event) { e.Off = 3 })
		}},
		{"two wait side by side", RuleWait, func(r *Run) {
			r.log("dee.1").put(Event{At: 30 * sec, Kind: Ask})
			r.Logs = append(r.Logs, &Log{Name: "eve.1", Events: []Event{{At: 30 * sec, Kind: Ask}, {At: 40 * sec, Kind: End}}})
		}},
		{"an answer that takes long", RuleAnswer, func(r *Run) {
			r.log("dee.1").put(Event{At: 30 * sec, Kind: Ask}, Event{At: 34 * sec, Kind: AskOK, Took: 4 * sec})
		}},
		{"a session lost without a reason", RuleSession, func(r *Run) {
			r.log("dee.1").put(Event{At: 30 * sec, Kind: Down}, Event{At: 31 * sec, Kind: Lost, Node: "n2"})
		}},
		{"a session that comes back late", RuleBack, func(r *Run) {
			r.log("dee.1").put(Event{At: 30 * sec, Kind: Down}, Event{At: 35 * sec, Kind: Up, Node: "n2"})
		}},
	} {
		t.Run(bug.name, func(t *testing.T) {
			r := quietRun()
			bug.do(r)
			found := r.Check()
			if len(found) == 0 {
				t.Fatalf("not found: %s", bug.rule)
			}
			for _, v := range found {
				if v.Rule != bug.rule {
					t.Errorf("found %v, want %s", v, bug.rule)
				}
			}
		})
	}
}

// TestExcuses: what a fault excuses is no violation, as long as the promise has
// not been made; then it is.
func TestExcuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		do      func(r *Run)
		promise func(x *Expect) // nil: excused for ever
	}{
		{"a killed node's session", func(r *Run) {
			r.log("dee.1").put(Event{At: 30 * sec, Kind: Down}, Event{At: 31 * sec, Kind: Lost, Node: "n2"})
			r.Faults = []Fault{{Name: "kill -9", From: 30 * sec, To: 30 * sec, Kills: "n1"}}
		}, func(x *Expect) { x.ResumeElsewhere = true }},
		{"a session after its grace time", func(r *Run) {
			r.log("dee.1").put(Event{At: 20 * sec, Kind: Cut}, Event{At: 20 * sec, Kind: Down}, Event{At: 30 * sec, Kind: Mended}, Event{At: 31 * sec, Kind: Lost})
		}, nil},
		{"a signal while the bus is down", func(r *Run) {
			r.log("bo.1").drop(id("ann.1/k1/2", Got))
			r.Faults = []Fault{{Name: "redis", From: 2900 * ms, To: 3200 * ms, Loses: true}}
		}, func(x *Expect) { x.BusSurvives = true }},
		{"a chat over a wiped store", func(r *Run) {
			r.log("ann.1").edit(is(Pages, "k1"), func(e *Event) { e.Page = e.Page[1:] })
			r.Faults = []Fault{{Name: "redis", From: 4500 * ms, To: 4600 * ms, Wipes: true}}
		}, func(x *Expect) { x.ChatSurvives = true }},
		{"waiting while matching is down", func(r *Run) {
			r.log("dee.1").put(Event{At: 30 * sec, Kind: Ask})
			r.Logs = append(r.Logs, &Log{Name: "eve.1", Events: []Event{{At: 30 * sec, Kind: Ask}, {At: 40 * sec, Kind: End}}})
			r.Faults = []Fault{{Name: "redis", From: 31 * sec, To: 38 * sec}}
		}, nil},
		{"no answer from a stopped node", func(r *Run) {
			r.log("dee.1").put(Event{At: 30 * sec, Kind: Ask}, Event{At: 36 * sec, Kind: AskOK, Took: 6 * sec})
			r.Faults = []Fault{{Name: "stop", From: 31 * sec, To: 35 * sec, Stops: true}}
		}, nil},
		{"a match undone", func(r *Run) {
			r.log("cy.1").drop(is(Told, "k2"))
			r.log("ann.1").put(Event{At: 20 * sec, Kind: PeerLeft, Room: "k2"})
			r.log("cy.1").put(Event{At: 15 * sec, Kind: Stopped})
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := quietRun()
			c.do(r)
			if found := r.Check(); len(found) > 0 {
				t.Fatalf("not excused: %v", found)
			}
			if c.promise == nil {
				return
			}
			c.promise(&r.Expect)
			if len(r.Check()) == 0 {
				t.Fatal("still excused when promised")
			}
		})
	}
}

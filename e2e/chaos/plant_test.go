package chaos

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/rondo-chat/rondo/e2e/chaos/history"
)

// plant puts bugs, one at a time, into the histories of a run that was well: what
// the clients would have written had the server had the bug. The checker must find
// each.
func plant(t *testing.T, r *history.Run) {
	t.Helper()
	for _, bug := range []struct {
		name string
		rule history.Rule
		do   func(r *history.Run) bool
	}{
		{"a signal is delivered twice", history.RuleDouble, repeat(history.Got)},
		{"a chat message is delivered twice", history.RuleDouble, repeat(history.Heard)},
		{"two signals change places", history.RuleOrder, swap(history.Got)},
		{"two chat messages change places", history.RuleOrder, swap(history.Heard)},
		{"a signal goes to a stranger", history.RuleOutside, stray(history.Got)},
		{"a chat message goes to a stranger", history.RuleOutside, stray(history.Heard)},
		{"no signal arrives", history.RuleSignal, lose(history.Got)},
		{"no chat message arrives", history.RuleChat, lose(history.Heard)},
		{"the log forgets a message", history.RuleHistory, first(history.Pages, func(e *history.Event) bool {
			if len(e.Page) > 2 {
				e.Page = slices.Delete(slices.Clone(e.Page), 1, 2)
				return true
			}
			return false
		})},
		{"both are told to offer", history.RuleSides, first(history.Told, func(e *history.Event) bool { e.Offerer = !e.Offerer; return true })},
		{"a signal comes from the wrong seat", history.RuleForged, first(history.Got, func(e *history.Event) bool { e.Seat = map[string]string{"1": "2", "2": "1"}[e.Seat]; return true })},
		{"a match is told twice", history.RuleAgain, repeat(history.Told)},
		{"two messages get one number", history.RuleFork, first(history.Heard, func(e *history.Event) bool { e.Off += 100; return true })},
		{"a match for who did not ask", history.RuleUnasked, func(r *history.Run) bool {
			for _, l := range r.Logs {
				l.Events = slices.DeleteFunc(l.Events, func(e history.Event) bool { return e.Kind == history.Ask })
			}
			return true
		}},
		{"a session is lost", history.RuleSession, first(history.Up, func(e *history.Event) bool { e.Kind = history.Lost; return true })},
	} {
		broken := clone(t, r)
		if !bug.do(broken) {
			t.Errorf("%s: nothing in the run to plant it in", bug.name)
			continue
		}
		if found := broken.Check(); !slices.ContainsFunc(found, func(v history.Violation) bool { return v.Rule == bug.rule }) {
			t.Errorf("not found: %s (%s); found %v", bug.name, bug.rule, found)
		}
	}
}

func clone(t *testing.T, r *history.Run) *history.Run {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	out := new(history.Run)
	if err := json.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// first changes the first event of a kind that change takes.
func first(k history.Kind, change func(e *history.Event) bool) func(*history.Run) bool {
	return func(r *history.Run) bool {
		for _, l := range r.Logs {
			for i := range l.Events {
				if l.Events[i].Kind == k && change(&l.Events[i]) {
					return true
				}
			}
		}
		return false
	}
}

// repeat lets the first event of a kind happen twice.
func repeat(k history.Kind) func(*history.Run) bool {
	return func(r *history.Run) bool {
		for _, l := range r.Logs {
			if i := slices.IndexFunc(l.Events, func(e history.Event) bool { return e.Kind == k }); i >= 0 {
				l.Events = slices.Insert(l.Events, i, l.Events[i])
				return true
			}
		}
		return false
	}
}

// swap exchanges what two neighbouring events of a kind, from one sender in one
// room, carried.
func swap(k history.Kind) func(*history.Run) bool {
	return func(r *history.Run) bool {
		for _, l := range r.Logs {
			for i := 1; i < len(l.Events); i++ {
				a, b := &l.Events[i-1], &l.Events[i]
				if a.Kind == k && b.Kind == k && a.Room == b.Room && a.Seat == b.Seat {
					a.ID, b.ID, a.Off, b.Off = b.ID, a.ID, b.Off, a.Off
					return true
				}
			}
		}
		return false
	}
}

// stray gives the first event of a kind to a client that was never in the room.
func stray(k history.Kind) func(*history.Run) bool {
	return func(r *history.Run) bool {
		var e history.Event
		if !first(k, func(f *history.Event) bool { e = *f; return true })(r) {
			return false
		}
		for _, l := range r.Logs {
			if !slices.ContainsFunc(l.Events, func(f history.Event) bool { return f.Room == e.Room }) {
				l.Events = slices.Insert(l.Events, 1, e)
				return true
			}
		}
		return false
	}
}

// lose drops all events of a kind.
func lose(k history.Kind) func(*history.Run) bool {
	return func(r *history.Run) bool {
		for _, l := range r.Logs {
			l.Events = slices.DeleteFunc(l.Events, func(e history.Event) bool { return e.Kind == k })
		}
		return true
	}
}

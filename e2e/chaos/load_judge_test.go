package chaos

import (
	"slices"
	"testing"
	"time"
)

// quietDiaries are two in a call, and one who waits and is met.
func quietDiaries() map[string]*diary {
	s := time.Second
	seats := map[string]string{"1": "ann", "2": "bo"}
	base := func(name string, p part) *diary {
		return &diary{name: name, part: p, sid: name, endSID: name, seats: map[string]string{}, away: map[string]bool{}}
	}
	all := map[string]*diary{}
	for seat, name := range seats {
		d := base(name, caller)
		d.room, d.you, d.seats = "k1", seat, seats
		all[name] = d
	}
	for n := 1; n <= 4; n++ {
		for _, from := range []string{"ann", "bo"} {
			m := message{at: time.Duration(n) * s, from: from, n: n, took: 1}
			other := map[string]string{"ann": "bo", "bo": "ann"}[from]
			all[from].sent[signals] = append(all[from].sent[signals], m)
			all[other].got[signals] = append(all[other].got[signals], m)
			m.off = uint64(2*n - 1)
			if from == "bo" {
				m.off++
			}
			all[from].sent[chats] = append(all[from].sent[chats], m)
			for _, d := range []string{"ann", "bo"} {
				all[d].got[chats] = append(all[d].got[chats], m)
			}
		}
	}
	all["ann"].downs, all["ann"].ups = []moment{{at: s}}, []moment{{at: 2 * s}}
	w, l := base("wait", waiter), base("late", late)
	w.mate, w.asked, w.met = "late", s, []meeting{{at: 11 * s, room: "k2", you: "1", peer: "late", waited: 10 * s}}
	l.mate, l.asked, l.met = "wait", 10*s, []meeting{{at: 11 * s, room: "k2", you: "2", peer: "wait"}}
	all["wait"], all["late"] = w, l
	return all
}

// TestLoadJudge: what is well is found well, and each broken promise is found.
func TestLoadJudge(t *testing.T) {
	verdictOf := func(bug func(all map[string]*diary)) *verdict {
		all := quietDiaries()
		bug(all)
		var list []*diary
		for _, d := range all {
			list = append(list, d)
		}
		return judge(list, 9*time.Second)
	}
	v := verdictOf(func(map[string]*diary) {})
	if len(v.found) > 0 || v.sent != 16 || v.due != 24 || len(v.resumed) != 1 || v.resumed[0] != time.Second || len(v.met) != 1 || v.met[0] != time.Second {
		t.Fatalf("%+v", v)
	}
	for _, b := range []struct {
		name string
		do   func(all map[string]*diary)
	}{
		{"a signal is lost", func(all map[string]*diary) { all["bo"].got[signals] = all["bo"].got[signals][1:] }},
		{"the last signal is lost", func(all map[string]*diary) { all["bo"].got[signals] = all["bo"].got[signals][:3] }},
		{"a chat message is lost", func(all map[string]*diary) { all["bo"].got[chats] = slices.Delete(all["bo"].got[chats], 2, 3) }},
		{"the own chat is lost", func(all map[string]*diary) { all["bo"].got[chats] = all["bo"].got[chats][:7] }},
		{"a signal is doubled", func(all map[string]*diary) {
			all["bo"].got[signals] = append(all["bo"].got[signals], all["bo"].got[signals][3])
		}},
		{"a refused signal is doubled", func(all map[string]*diary) {
			all["ann"].sent[signals][3].err = "unavailable"
			all["bo"].got[signals] = append(all["bo"].got[signals], all["bo"].got[signals][3])
		}},
		{"a chat message has two numbers", func(all map[string]*diary) {
			m := all["bo"].got[chats][7]
			m.off++
			all["bo"].got[chats] = append(all["bo"].got[chats], m)
		}},
		{"signals change places", func(all map[string]*diary) {
			g := all["bo"].got[signals]
			g[1], g[2] = g[2], g[1]
		}},
		{"the chat's numbers begin again", func(all map[string]*diary) { all["bo"].got[chats][7].off = 1 }},
		{"the sender was told another number", func(all map[string]*diary) { all["ann"].sent[chats][0].off = 2 }},
		{"a signal goes to a stranger", func(all map[string]*diary) {
			all["wait"].got[signals] = append(all["wait"].got[signals], all["bo"].got[signals][0])
		}},
		{"a signal has another's seat", func(all map[string]*diary) {
			all["bo"].got[signals] = nil
			all["ann"].sent[signals] = nil
			all["bo"].take(signals, 0, "k1", "2", message{from: "ann", n: 1})
		}},
		{"a signal of another room", func(all map[string]*diary) { all["bo"].take(signals, 0, "k9", "1", message{from: "ann", n: 9}) }},
		{"no answer", func(all map[string]*diary) { all["ann"].sent[chats][0].took = 0 }},
		{"a lost session", func(all map[string]*diary) { all["ann"].endSID = "new" }},
		{"a client that does not come back", func(all map[string]*diary) { all["ann"].ups = nil }},
		{"the partner is told that it left", func(all map[string]*diary) { all["ann"].bad = []string{"peer.left"} }},
		{"the partner is not told that it is back", func(all map[string]*diary) { all["ann"].away["2"] = true }},
		{"a waiter is forgotten", func(all map[string]*diary) { all["wait"].met, all["late"].met = nil, nil }},
		{"a match is told to one side", func(all map[string]*diary) { all["late"].met = nil }},
		{"a match with another", func(all map[string]*diary) { all["wait"].met[0].peer = "eve" }},
		{"matched twice", func(all map[string]*diary) { all["wait"].met = append(all["wait"].met, all["wait"].met[0]) }},
		{"matched before the other asked", func(all map[string]*diary) {
			all["wait"].met[0].at = 5 * time.Second
			all["wait"].met[0].waited = 5 * time.Second
		}},
		{"the place in the queue is lost", func(all map[string]*diary) { all["wait"].met[0].waited = 3 * time.Second }},
	} {
		t.Run(b.name, func(t *testing.T) {
			if v := verdictOf(b.do); len(v.found) == 0 {
				t.Error("not found")
			}
		})
	}
}

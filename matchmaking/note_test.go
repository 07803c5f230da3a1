package matchmaking

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

func samplePair() Pair {
	return Pair{Match: "m1", Pool: "video", Entrants: [2]Entrant{
		{Ref{"s1", 7}, "u1", "n1", time.UnixMicro(1_763_697_600_123_456), `{"name":"Zoë","tags":["jazz"],"langs":["en"]}`},
		{Ref{"s2", maxEpoch}, "u2", "n2", time.UnixMicro(1), `{"relay":true}`},
	}}
}

func TestNotesComeBackAsTheyWent(t *testing.T) {
	for _, n := range []note{
		{Kind: notePropose, Pair: samplePair()},
		{Kind: noteLive, Pair: samplePair()},
		{Kind: noteRequeue, Pair: Pair{Match: "m1", Pool: "video"}, To: Ref{"s1", 7}, Why: whyExcluded, Not: "u2"},
		{Kind: noteRequeue, Pair: Pair{Match: "m1", Pool: "video"}, To: Ref{"s1", 7}, Why: whyGone},
	} {
		b, err := encodeNote(n)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeNote(b); err != nil || !reflect.DeepEqual(got, n) {
			t.Errorf("got %+v, %v; want %+v", got, err, n)
		}
	}
}

func TestBadNotes(t *testing.T) {
	good, _ := encodeNote(note{Kind: notePropose, Pair: samplePair()})
	for _, s := range []string{
		"", "null", "{}", "[]", `{"k":"propose","m":"m","p":"video"}`, `{"k":"hello","m":"m","p":"video"}`,
		`{"k":"requeue","m":"m","p":"video","s":"s","n":1}`, `{"k":"requeue","m":"m","p":"video","s":"s","n":1,"w":"because"}`,
		strings.Replace(string(good), `"s":"s2"`, `"s":"s1"`, 1), strings.Replace(string(good), `"n":7`, `"n":0`, 1),
		strings.Replace(string(good), `"m":"m1"`, `"m":"\u0001"`, 1), strings.Replace(string(good), `"p":"video"`, `"p":"{}"`, 1),
		`{"k":"requeue","m":"` + strings.Repeat("m", maxNote) + `"}`,
	} {
		if n, err := decodeNote([]byte(s)); err == nil {
			t.Errorf("%q: %+v", s, n)
		}
	}
}

// FuzzNote: what is read is written again the same, and a matcher survives all.
func FuzzNote(f *testing.F) {
	for _, n := range []note{
		{Kind: notePropose, Pair: samplePair()}, {Kind: noteLive, Pair: samplePair()},
		{Kind: noteRequeue, Pair: Pair{Match: "m1", Pool: "video"}, To: Ref{"s1", 7}, Why: whyBusy, Not: "u2"},
	} {
		b, err := encodeNote(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"k":"live","m":"m","p":"other","e":[{"s":"a","n":1,"u":"u","h":"n1"},{"s":"b","n":1,"u":"u","h":"n1"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := decodeNote(b)
		if err != nil {
			return
		}
		again, err := encodeNote(n)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeNote(again); err != nil || !reflect.DeepEqual(back, n) {
			t.Fatalf("%+v became %+v, %v", n, back, err)
		}
		if err := CheckEnter(Ticket{Pool: n.Pair.Pool, Entrant: Entrant{Ref: Ref{"s", 1}, User: "u", Node: "n"}, Offers: []Term{"t"}},
			Search{Match: n.Pair.Match, Look: 1, Hold: 1}); err != nil {
			t.Fatalf("%+v: %v", n, err)
		}
		m := &Matcher{pools: map[string]*pool{"video": {PoolConfig: PoolConfig{Name: "video"}}}}
		match, err := m.match(n.Pair)
		if err == nil && (len(match.Shared.Tags) > protocol.MaxTags || match.Members[0].Session == match.Members[1].Session && n.Kind != noteRequeue) {
			t.Fatalf("%+v", match)
		}
	})
}

// FuzzDetails: what a ticket carries is read, or refused, and within bounds.
func FuzzDetails(f *testing.F) {
	f.Add(`{"name":"Zoë","tags":["jazz"],"langs":["en"],"relay":true}`)
	f.Add(`{"tags":["a","b","c","d"]}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, s string) {
		d, err := decodeDetails(s)
		if err != nil {
			return
		}
		if len(d.Tags) > protocol.MaxTags || len(d.Languages) > protocol.MaxLanguages || len(d.Name) > maxDetailName {
			t.Fatalf("%+v", d)
		}
		if _, err := json.Marshal(d); err != nil {
			t.Fatal(err)
		}
	})
}

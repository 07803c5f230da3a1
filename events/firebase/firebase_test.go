package firebase_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/events/eventstest"
	"github.com/rondo-chat/rondo/events/firebase"
	"github.com/rondo-chat/rondo/internal/outbound"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func (d *database) sink(t *testing.T, allow ...string) *firebase.Sink {
	t.Helper()
	s, err := firebase.New(firebase.Config{
		URL: d.URL + "/live/chat/", Account: d.account(t), Client: eventstest.Way(t, allow...).Client(), Timeout: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// event makes an event of a change.
func event(t *testing.T, e protocol.ConvEvent, pos uint64) events.Event {
	t.Helper()
	payload, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("%s:%d", e.Room, e.Seq)
	body, err := json.Marshal(events.Envelope{ID: id, Pos: pos, Data: payload})
	if err != nil {
		t.Fatal(err)
	}
	return events.Event{ID: id, Room: e.Room, Seq: e.Seq, Pos: pos, Body: body}
}

func message(room protocol.RoomID, seq, rev uint64, text string) protocol.ConvEvent {
	return protocol.ConvEvent{Room: room, Seq: rev, Message: &protocol.ConvMessage{Seq: seq, Rev: rev, From: "u_1", Name: "Ana", Text: text}}
}

// TestMirror: a database that fails a third of the time, loses answers and forgets tokens, has in the end
// what the events say, and was never asked for something it does not take.
func TestMirror(t *testing.T) {
	d := newDatabase(t)
	random := rand.New(rand.NewPCG(3, 4))
	d.failing(func(*http.Request) bool { return false })
	log := eventstest.NewLog()
	want := map[string]string{}
	for i := range 300 {
		room := eventstest.Room(i % 5)
		seq := uint64(i/10 + 1) // each message is changed again and again
		text := fmt.Sprintf("text %d «ü» 漢", i)
		e := message(room, seq, uint64(i+1), text)
		log.Add(e) // sets Seq and Rev to the number of the event
		want[fmt.Sprintf("live/chat/messages/%s/m%016d/text", room, e.Message.Seq)] = text
	}
	d.Config.Handler = flaky(d.Config.Handler, random, d)
	sub := events.Subscription{Name: "f", Sink: d.sink(t, "127.0.0.1"), Presence: true, Batch: 20}
	dispatcher, err := events.New(events.Config{
		Log: log.Node("a"), Sinks: []events.Subscription{sub}, Poll: 5 * time.Millisecond, MinPause: 2 * time.Millisecond, MaxPause: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	dispatcher.Start()
	testenv.Eventually(t, soon, func() bool { return log.At("f").Pos == log.Head() }, "everything is there")
	room := eventstest.Room(1)
	testenv.Eventually(t, soon, func() bool {
		dispatcher.Present(room, protocol.ConvPresence{Online: 7, Here: []protocol.UserID{"u_1"}})
		return d.at("live/chat/presence/"+string(room)+"/online") == 7.0
	}, "presence is there")
	dispatcher.Close()
	for at, text := range want {
		if d.at(at) != text {
			t.Errorf("%s: %v, want %q", at, d.at(at), text)
		}
	}
	if bad := d.complaints(); len(bad) > 0 {
		t.Errorf("asked for what it does not take: %q", bad)
	}
	if d.tokens() < 2 {
		t.Errorf("%d tokens", d.tokens())
	}
}

// flaky fails a third of the requests, before or after they did their work.
func flaky(h http.Handler, random *rand.Rand, d *database) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch random.IntN(12) { // requests come one by one, presence comes when the events are there
		case 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 1:
			if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
				c.Close()
			}
		case 2: // done, but nobody learns of it
			h.ServeHTTP(discard{http.Header{}}, r)
			w.WriteHeader(http.StatusInternalServerError)
		case 3:
			d.revoke()
			h.ServeHTTP(w, r)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// TestLeaving: what is deleted, and what retention took away, goes; a replay brings nothing back.
func TestLeaving(t *testing.T) {
	d := newDatabase(t)
	s := d.sink(t, "127.0.0.1")
	a, b := eventstest.Room(1), eventstest.Room(2)
	var list []events.Event
	for i := range uint64(250) {
		list = append(list, event(t, message(a, i+1, i+1, "x"), i+1), event(t, message(b, i+1, i+1, "x"), 1000+i))
	}
	person := &protocol.ConvPerson{ID: "u_1", Name: "Ana", Rev: 251, Role: protocol.ConvMember}
	list = append(list,
		event(t, protocol.ConvEvent{Room: b, Seq: 251, Person: person}, 2000),
		event(t, protocol.ConvEvent{Room: a, Seq: 252, Conversation: &protocol.Conversation{ID: a, Rev: 252, Oldest: 241}}, 2001),
		event(t, protocol.ConvEvent{Room: b, Seq: 252, Conversation: &protocol.Conversation{ID: b, Rev: 252, Deleted: true}}, 2002),
	)
	deliver(t, s, list)
	if n := d.under("live/chat/messages/" + string(a)); n != 10 {
		t.Errorf("%d messages after retention, want 10", n)
	}
	if n := d.under("live/chat/messages/"+string(b)) + d.under("live/chat/people/"+string(b)); n != 0 {
		t.Errorf("%d things in a deleted conversation", n)
	}
	if d.at("live/chat/rooms/"+string(b)+"/deleted") != true {
		t.Error("no tombstone")
	}
	deliver(t, s, []events.Event{event(t, message(a, 245, 300, "edited"), 3000)})
	for _, late := range []events.Event{
		event(t, message(a, 245, 260, "older"), 10), event(t, message(b, 3, 3, "gone"), 11),
		event(t, protocol.ConvEvent{Room: b, Seq: 251, Person: person}, 12),
	} {
		late.Late = true
		deliver(t, s, []events.Event{late})
	}
	if got := d.at(fmt.Sprintf("live/chat/messages/%s/m%016d/text", a, 245)); got != "edited" {
		t.Errorf("a replay brought back %v", got)
	}
	if n := d.under("live/chat/messages/"+string(b)) + d.under("live/chat/people/"+string(b)); n != 0 {
		t.Errorf("a replay brought back %d things of a deleted conversation", n)
	}
	late := event(t, message(a, 246, 301, "newer"), 13)
	late.Late = true
	deliver(t, s, []events.Event{late})
	if got := d.at(fmt.Sprintf("live/chat/messages/%s/m%016d/text", a, 246)); got != "newer" {
		t.Errorf("a replay of the newest is %v", got)
	}
	if bad := d.complaints(); len(bad) > 0 {
		t.Errorf("asked for what it does not take: %q", bad)
	}
}

func deliver(t *testing.T, s events.Sink, list []events.Event) {
	t.Helper()
	for len(list) > 0 {
		n, err := s.Deliver(t.Context(), list)
		if err != nil || n == 0 {
			t.Fatalf("%d of %d: %v", n, len(list), err)
		}
		list = list[n:]
	}
}

// TestRefusals: what the event is to blame for, and what it is not.
func TestRefusals(t *testing.T) {
	d := newDatabase(t)
	s := d.sink(t, "127.0.0.1")
	good := event(t, message(eventstest.Room(1), 1, 1, "x"), 1)
	code := http.StatusBadRequest
	handler := d.Config.Handler
	d.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			handler.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(code)
	})
	for _, c := range []struct {
		code    int
		refused bool
	}{{400, true}, {413, true}, {401, false}, {403, false}, {404, false}, {412, false}, {429, false}, {500, false}, {503, false}} {
		code = c.code
		n, err := s.Deliver(t.Context(), []events.Event{good})
		if _, refused := errors.AsType[*events.Refused](err); n != 0 || err == nil || refused != c.refused {
			t.Errorf("%d: %d, %v", c.code, n, err)
		}
	}
	for name, bad := range map[string]events.Event{
		"no JSON": {ID: "c_1:1", Room: "c_1", Body: []byte("{")},
		"room":    event(t, message("c_1/../../x", 1, 1, "x"), 1),
		"person":  event(t, protocol.ConvEvent{Room: "c_1", Person: &protocol.ConvPerson{ID: "a.b"}}, 1),
		"nothing": event(t, protocol.ConvEvent{Room: "c_1"}, 1),
	} {
		_, err := s.Deliver(t.Context(), []events.Event{bad})
		if _, refused := errors.AsType[*events.Refused](err); !refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNoWayInside: neither the database nor who gives tokens is reached inside unless it is allowed.
func TestNoWayInside(t *testing.T) {
	d := newDatabase(t)
	n, err := d.sink(t).Deliver(t.Context(), []events.Event{event(t, message("c_1", 1, 1, "x"), 1)})
	if n != 0 || err == nil || !strings.Contains(err.Error(), outbound.ErrRefused.Error()) || d.tokens() != 0 {
		t.Fatalf("%d, %v", n, err)
	}
}

func TestConfig(t *testing.T) {
	d := newDatabase(t)
	account, client := d.account(t), &http.Client{}
	for _, c := range []firebase.Config{
		{}, {URL: "ftp://x", Account: account, Client: client}, {URL: "https://x", Client: client}, {URL: "https://x", Account: account},
		{URL: "https://x", Account: []byte(`{"type":"user"}`), Client: client}, {URL: "https://x?auth=1", Account: account, Client: client},
	} {
		if _, err := firebase.New(c); err == nil {
			t.Errorf("%s is taken", c.URL)
		}
	}
}

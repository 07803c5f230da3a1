package webpush_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/events/webpush"
	"github.com/rondo-chat/rondo/internal/outbound"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const room protocol.RoomID = "c_abcdefghijklmnopqrstuvwxyz"

// house is what the sink asks, in memory: one room, and the devices of its members.
type house struct {
	mu      sync.Mutex
	kind    protocol.ConvKind
	name    string
	members map[protocol.UserID]uint64 // how far they have read
	devices map[string]webpush.Device
	down    bool
}

func newHouse(kind protocol.ConvKind) *house {
	return &house{kind: kind, name: "The  room", members: map[protocol.UserID]uint64{}, devices: map[string]webpush.Device{}}
}

func (h *house) Room(context.Context, protocol.RoomID) (protocol.ConvKind, string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		return "", "", errors.New("down")
	}
	return h.kind, h.name, nil
}

func (h *house) Names(_ context.Context, _ protocol.RoomID, ids []protocol.UserID) (map[protocol.UserID]string, error) {
	names := map[protocol.UserID]string{}
	for _, id := range ids {
		names[id] = "N" + string(id)
	}
	return names, nil
}

func (h *house) Of(_ context.Context, q webpush.Query) (list []webpush.Device, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.devices {
		read, member := h.members[d.User]
		if member && d.User != q.Author && read < q.Seq && (len(q.Among) == 0 || slices.Contains(q.Among, d.User)) {
			list = append(list, d)
		}
	}
	return list, nil
}

func (h *house) Still(_ context.Context, d webpush.Device) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.devices[d.ID].User == d.User, nil
}

func (h *house) Remove(_ context.Context, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.devices, id)
	return nil
}

func (h *house) SetFailed(_ context.Context, id string, failed int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.devices[id]
	d.Failed = failed
	h.devices[id] = d
	return nil
}

func (h *house) failed(id string) (int, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d, ok := h.devices[id]
	return d.Failed, ok
}

// got is a notification as a browser has it.
type got struct {
	webpush.Note
	device, topic, ttl string
}

// service is a push service with its browsers.
type service struct {
	t      testing.TB
	key    *webpush.Key
	origin string

	mu     sync.Mutex
	keys   map[string]*ecdh.PrivateKey
	answer func(device string) (int, string) // status, Retry-After; nil: 201
	tries  int
	list   []got
}

const secret = "sixteen bytes ok"

// device adds a browser of the user's.
func (s *service) device(h *house, id string, user protocol.UserID) {
	s.t.Helper()
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.keys["/"+id] = own
	s.mu.Unlock()
	d := webpush.Device{ID: id, User: user}
	d.Endpoint = s.origin + "/" + id
	d.Keys = protocol.PushKeys{P256dh: base64.RawURLEncoding.EncodeToString(own.PublicKey().Bytes()), Auth: base64.RawURLEncoding.EncodeToString([]byte(secret))}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.devices[id] = d
	if _, known := h.members[user]; !known {
		h.members[user] = 0
	}
}

// take does what push service and browser do with a request, and returns the status.
func (s *service) take(r *http.Request) (status int, after string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return http.StatusBadRequest, ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	key, claims, err := signed(r.Header.Get("Authorization"))
	if err != nil || key != s.key.Public() || claims["aud"] != s.origin || claims["sub"] != "mailto:ops@example.org" {
		s.t.Errorf("Authorization: %v, %v", claims, err)
	}
	h := r.Header
	if r.Method != http.MethodPost || h.Get("Content-Encoding") != "aes128gcm" || len(h.Get("Topic")) != 32 || strings.Contains(fmt.Sprint(h), string(room)) || h.Get("Cookie") != "" {
		s.t.Errorf("%s %v", r.Method, h)
	}
	if s.answer != nil {
		if status, after := s.answer(r.URL.Path[1:]); status != 0 {
			return status, after
		}
	}
	own := s.keys[r.URL.Path]
	if own == nil {
		return http.StatusGone, ""
	}
	plain, err := decrypt(body, own, []byte(secret))
	if err != nil {
		s.t.Errorf("what arrived: %v", err)
		return http.StatusBadRequest, ""
	}
	g := got{device: r.URL.Path[1:], topic: h.Get("Topic"), ttl: h.Get("TTL")}
	if err := json.Unmarshal(plain, &g.Note); err != nil {
		s.t.Errorf("%s: %v", plain, err)
	}
	s.list = append(s.list, g)
	return http.StatusCreated, ""
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, after := s.take(r)
	if after != "" {
		w.Header().Set("Retry-After", after)
	}
	w.WriteHeader(status)
}

// took are the bodies that devices got, sorted.
func (s *service) took() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, g := range s.list {
		all = append(all, g.device+"="+g.Body)
	}
	s.list = nil
	slices.Sort(all)
	return strings.Join(all, " ")
}

func (s *service) tried() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

func (s *service) answers(f func(device string) (int, string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// real is a push service that is reached over TLS.
func real(t testing.TB) (*service, *http.Client) {
	t.Helper()
	s := &service{t: t, key: key(t, "k"), keys: map[string]*ecdh.PrivateKey{}}
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	s.origin = server.URL
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	way, err := outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, HTTPSOnly: true, TLS: &tls.Config{RootCAs: roots}})
	if err != nil {
		t.Fatal(err)
	}
	return s, way.Client()
}

// near is a push service that is reached without a network: for tests on a clock of their own.
func near(t testing.TB) (*service, *http.Client) {
	s := &service{t: t, key: key(t, "k"), keys: map[string]*ecdh.PrivateKey{}, origin: "https://push.example"}
	return s, &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
		status, after := s.take(r)
		if status < 0 { // it hangs
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {after}}, Body: http.NoBody, Request: r}, nil
	})}
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func open(t testing.TB, h *house, s *service, client *http.Client) (*webpush.Sink, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	sink, err := webpush.New(webpush.Config{
		Devices: h, Key: s.key, Contact: "mailto:ops@example.org", Client: client, Delay: time.Millisecond, Registerer: reg, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sink.Close)
	return sink, reg
}

// count is the number of notifications with the result.
func count(t testing.TB, reg *prometheus.Registry, result string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch {
			case f.GetName() == "rondo_webpush_waiting" && result == "waiting":
				return m.GetGauge().GetValue()
			case f.GetName() == "rondo_webpush_notifications_total" && m.GetLabel()[0].GetValue() == result:
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric of %s", result)
	return 0
}

// written is the event of a message.
func written(t testing.TB, m protocol.ConvMessage, change func(*events.Event, *protocol.ConvEvent)) events.Event {
	t.Helper()
	now := time.Now().UnixMilli()
	m.Rev, m.At = m.Seq, now
	e := events.Event{ID: fmt.Sprintf("%s:%d", room, m.Seq), Room: room, Seq: m.Seq, Pos: m.Seq, Type: events.Message, At: now}
	data := protocol.ConvEvent{Room: room, Seq: m.Seq, At: now, By: m.From, Message: &m}
	if change != nil {
		change(&e, &data)
	}
	payload, err := json.Marshal(data)
	if err == nil {
		e.Body, err = json.Marshal(events.Envelope{ID: e.ID, Pos: e.Pos, Type: e.Type, At: e.At, Data: payload})
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func text(t testing.TB, seq uint64, s string) events.Event {
	t.Helper()
	return written(t, protocol.ConvMessage{Seq: seq, From: "u_ann", Name: "Ann", Text: s}, nil)
}

func deliver(t testing.TB, sink events.Sink, list ...events.Event) {
	t.Helper()
	if n, err := sink.Deliver(t.Context(), list); n != len(list) || err != nil {
		t.Fatalf("%d of %d, %v", n, len(list), err)
	}
}

// TestNotifications: over TLS, as a browser decrypts them.
func TestNotifications(t *testing.T) {
	s, client := real(t)
	h := newHouse(protocol.ConvGroup)
	for id, user := range map[string]protocol.UserID{"ann1": "u_ann", "bo1": "u_bo", "bo2": "u_bo", "cy1": "u_cy", "dot1": "u_dot"} {
		s.device(h, id, user)
	}
	h.members["u_cy"] = 7 // has read it
	delete(h.members, "u_dot")
	sink, reg := open(t, h, s, client)
	deliver(t, sink, text(t, 7, "Hello\n  you"))
	s.mu.Lock()
	list := slices.Clone(s.list)
	s.mu.Unlock()
	if len(list) != 2 || list[0].topic == "" || list[0].Note != (webpush.Note{Room: room, Title: "The room", Body: "Ann: Hello you", URL: "/c/" + string(room)}) {
		t.Fatalf("got %+v", list)
	}
	if ttl := list[0].ttl; ttl < "14390" || ttl > "14400" || len(ttl) != 5 {
		t.Errorf("TTL %s", ttl)
	}
	if got := s.took(); got != "bo1=Ann: Hello you bo2=Ann: Hello you" {
		t.Errorf("took %s", got)
	}
	deliver(t, sink, text(t, 8, "a"), text(t, 9, "b"), text(t, 10, "c")) // of one room the newest counts
	if got := s.took(); got != "bo1=Ann: c bo2=Ann: c cy1=Ann: c" || count(t, reg, "sent") != 5 {
		t.Errorf("took %s", got)
	}
}

// TestNobodyIsTold of what is no new message, is too old, or cannot be read; and the next event is.
func TestNobodyIsTold(t *testing.T) {
	s, client := near(t)
	h := newHouse(protocol.ConvDirect)
	s.device(h, "bo", "u_bo")
	sink, _ := open(t, h, s, client)
	m := protocol.ConvMessage{Seq: 5, From: "u_ann", Name: "Ann", Text: "no"}
	for name, change := range map[string]func(*events.Event, *protocol.ConvEvent){
		"edit":      func(e *events.Event, d *protocol.ConvEvent) { e.Seq, d.Seq = 6, 6 },
		"deleted":   func(_ *events.Event, d *protocol.ConvEvent) { d.Message.Deleted = 1 },
		"of nobody": func(_ *events.Event, d *protocol.ConvEvent) { d.Message.From = "" },
		"replayed":  func(e *events.Event, _ *protocol.ConvEvent) { e.Late = true },
		"old":       func(e *events.Event, _ *protocol.ConvEvent) { e.At -= webpush.TTL.Milliseconds() },
		"person": func(e *events.Event, d *protocol.ConvEvent) {
			e.Type, d.Message, d.Person = events.Person, nil, &protocol.ConvPerson{ID: "u_bo"}
		},
	} {
		deliver(t, sink, written(t, m, change))
		if got := s.took(); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
	h.kind = "" // the conversation is gone
	deliver(t, sink, written(t, m, nil), events.Event{Room: room, Seq: 1, Type: events.Message, At: time.Now().UnixMilli(), Body: []byte("no JSON")})
	h.kind = protocol.ConvDirect
	deliver(t, sink, written(t, m, nil))
	if got := s.took(); got != "bo=no" {
		t.Errorf("took %s", got)
	}
}

// TestTexts: what a notification says.
func TestTexts(t *testing.T) {
	s, client := near(t)
	h := newHouse(protocol.ConvDirect)
	s.device(h, "bo", "u_bo")
	s.device(h, "cy", "u_cy")
	sink, _ := open(t, h, s, client)
	for i, c := range []struct {
		kind        protocol.ConvKind
		m           protocol.ConvMessage
		title, body string
		to          int
	}{
		{protocol.ConvDirect, protocol.ConvMessage{Text: "<b>&\"\u2028 x"}, "Ann", "<b>&\" x", 2},
		{protocol.ConvDirect, protocol.ConvMessage{Text: strings.Repeat("ü", 120)}, "Ann", strings.Repeat("ü", 120), 2},
		{protocol.ConvDirect, protocol.ConvMessage{Text: strings.Repeat("👍", 121)}, "Ann", strings.Repeat("👍", 119) + "…", 2},
		{protocol.ConvDirect, protocol.ConvMessage{Files: []protocol.ConvFile{{Name: "a b.png"}, {Name: "c"}}}, "Ann", "a b.png", 2},
		{protocol.ConvGroup, protocol.ConvMessage{Text: "<@u_cy> and <@u_x>", Mentions: []protocol.UserID{"u_cy"}}, "The room", "Ann: @Nu_cy and <@u_x>", 2},
		{protocol.ConvTopic, protocol.ConvMessage{Text: "all"}, "", "", 0},
		{protocol.ConvTopic, protocol.ConvMessage{Text: "<@u_cy>", Mentions: []protocol.UserID{"u_cy"}}, "The room", "Ann: @Nu_cy", 1},
	} {
		h.kind = c.kind
		c.m.Seq, c.m.From, c.m.Name = uint64(i+1), "u_ann", "Ann"
		deliver(t, sink, written(t, c.m, nil))
		if len(s.list) != c.to || c.to > 0 && (s.list[0].Title != c.title || s.list[0].Body != c.body) {
			t.Errorf("%d: got %+v, want %d of %q, %q", i, s.list, c.to, c.title, c.body)
		}
		s.took()
	}
}

// TestTopics: at the push service nobody can tell who is in the same room, nor which messages are of one room but of one device.
func TestTopics(t *testing.T) {
	s, client := near(t)
	h := newHouse(protocol.ConvDirect)
	s.device(h, "bo", "u_bo")
	sink, _ := open(t, h, s, client)
	deliver(t, sink, text(t, 1, "x"))
	deliver(t, sink, text(t, 2, "x"))
	h.mu.Lock()
	d := h.devices["bo"]
	d.Keys.Auth = base64.RawURLEncoding.EncodeToString([]byte("another 16 bytes"))
	h.devices["bo"] = d
	h.mu.Unlock()
	s.answers(func(string) (int, string) { return 201, "" })
	var third string
	client.Transport = trip(func(r *http.Request) (*http.Response, error) {
		third = r.Header.Get("Topic")
		return &http.Response{StatusCode: 201, Body: http.NoBody, Header: http.Header{}, Request: r}, nil
	})
	deliver(t, sink, text(t, 3, "x"))
	if len(s.list) != 2 || s.list[0].topic != s.list[1].topic || third == s.list[0].topic {
		t.Errorf("topics of %+v, then %s", s.list, third)
	}
}

// TestAnswers: what comes of a device after what its push service says, again and again.
func TestAnswers(t *testing.T) {
	for status, want := range map[int]string{
		404: "1 gone", 410: "1 gone", 400: "5 refused", 413: "5 refused", 307: "5 refused", 401: "9 kept", 403: "9 kept", 204: "9 kept",
	} {
		s, client := near(t)
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		h := newHouse(protocol.ConvDirect)
		s.device(h, "bo", "u_bo")
		s.device(h, "cy", "u_cy")
		s.answers(func(device string) (int, string) {
			if device == "bo" {
				return status, ""
			}
			return 0, ""
		})
		sink, reg := open(t, h, s, client)
		n, there := 0, true
		for n = 0; n < 9 && there; n++ {
			deliver(t, sink, text(t, uint64(n+1), "x"))
			if got := s.took(); got != "cy=x" {
				t.Errorf("%d: the other one has %q", status, got)
			}
			_, there = h.failed("bo")
		}
		if got := count(t, reg, "unauthorized"); got > 0 != (status == 401 || status == 403) {
			t.Errorf("%d: %v unauthorized", status, got)
		}
		result := "kept"
		if !there {
			result = map[bool]string{true: "gone", false: "refused"}[count(t, reg, "gone") > 0]
		}
		if got := fmt.Sprint(n, " ", result); got != want {
			t.Errorf("%d: after %s, want %s", status, got, want)
		}
	}
}

// TestFailuresInARow: one success, and they count anew.
func TestFailuresInARow(t *testing.T) {
	s, client := near(t)
	h := newHouse(protocol.ConvDirect)
	s.device(h, "bo", "u_bo")
	sink, _ := open(t, h, s, client)
	for i := range 12 {
		s.answers(func(string) (int, string) { return map[bool]int{true: 400, false: 0}[i%4 < 3], "" })
		deliver(t, sink, text(t, uint64(i+1), "x"))
		if n, there := h.failed("bo"); !there || n != []int{1, 2, 3, 0}[i%4] {
			t.Fatalf("after %d: %d, %v", i, n, there)
		}
	}
}

// TestOneHangs: a device whose push service hangs or is busy holds up nobody for long, gets the newest of each room when that is over, and
// no one else gets anything twice.
func TestOneHangs(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		after  string
		quiet  time.Duration // in which it is not asked again
	}{"hangs": {-1, "", 3 * time.Second}, "busy": {503, "", 3 * time.Second}, "asks for time": {429, "600", 590 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, client := near(t)
				h := newHouse(protocol.ConvDirect)
				s.device(h, "bo", "u_bo")
				s.device(h, "cy", "u_cy")
				sink, reg := open(t, h, s, client)
				bad := func(device string) (int, string) {
					if device == "bo" {
						return c.status, c.after
					}
					return 0, ""
				}
				s.answers(bad)
				start := time.Now()
				for i := range 10 {
					deliver(t, sink, text(t, uint64(i+1), fmt.Sprint(i)))
				}
				if took := time.Since(start); took > 6*time.Second || s.took() != "cy=0 cy=1 cy=2 cy=3 cy=4 cy=5 cy=6 cy=7 cy=8 cy=9" || count(t, reg, "waiting") != 1 {
					t.Fatalf("took %v; %v wait", took, count(t, reg, "waiting"))
				}
				before := s.tried()
				testenv.Elapse(c.quiet)
				synctest.Wait()
				if s.tried() != before {
					t.Error("was asked again at once")
				}
				testenv.Elapse(40 * time.Minute)
				synctest.Wait()
				if n := s.tried() - before; n < 2 || n > 12 {
					t.Errorf("asked %d times in 40 minutes", n)
				}
				s.answers(nil)
				testenv.Elapse(20 * time.Minute)
				synctest.Wait()
				if got := s.took(); got != "bo=9" || count(t, reg, "waiting") != 0 {
					t.Errorf("then it got %q", got)
				}
				sink.Close()
			})
		})
	}
}

// TestManyHang: many devices that hang, one after the other if need be, hold up nobody for long.
func TestManyHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client := near(t)
		h := newHouse(protocol.ConvGroup)
		for i := range 400 {
			s.device(h, fmt.Sprint("bad", i), protocol.UserID(fmt.Sprint("u_bad", i%40)))
		}
		s.device(h, "cy", "u_cy")
		s.answers(func(device string) (int, string) {
			if device != "cy" {
				return -1, ""
			}
			return 0, ""
		})
		sink, _ := open(t, h, s, client)
		start := time.Now()
		deliver(t, sink, text(t, 1, "x"))
		if took := time.Since(start); took > 19*time.Second {
			t.Errorf("held up for %v", took)
		}
		testenv.Elapse(2 * time.Minute)
		if got := s.took(); got != "cy=Ann: x" {
			t.Errorf("the one that works got %q", got)
		}
		start = time.Now()
		deliver(t, sink, text(t, 2, "y"))
		if took := time.Since(start); took > time.Second || s.took() != "cy=Ann: y" {
			t.Errorf("the next one took %v", took)
		}
		sink.Close()
	})
}

// TestTooOld: what nobody takes for four hours is given up; a device that is gone meanwhile is asked nothing.
func TestTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client := near(t)
		h := newHouse(protocol.ConvDirect)
		s.device(h, "bo", "u_bo")
		s.device(h, "cy", "u_cy")
		s.answers(func(string) (int, string) { return 500, "" })
		sink, reg := open(t, h, s, client)
		deliver(t, sink, text(t, 1, "x"))
		if err := h.Remove(t.Context(), "cy"); err != nil {
			t.Fatal(err)
		}
		testenv.Elapse(time.Minute)
		s.answers(func(device string) (int, string) {
			if device == "cy" {
				t.Error("who has logged out is asked")
			}
			return 500, ""
		})
		testenv.Elapse(5 * time.Hour)
		synctest.Wait()
		tried := s.tried()
		if n, there := h.failed("bo"); n != 1 || !there || count(t, reg, "dropped") != 1 || count(t, reg, "waiting") != 0 {
			t.Errorf("failed %d, %v; %v dropped", n, there, count(t, reg, "dropped"))
		}
		testenv.Elapse(5 * time.Hour)
		synctest.Wait()
		if s.tried() != tried {
			t.Error("is tried again")
		}
		sink.Close()
	})
}

// TestDatabaseDown: the event comes again.
func TestDatabaseDown(t *testing.T) {
	s, client := near(t)
	h := newHouse(protocol.ConvDirect)
	s.device(h, "bo", "u_bo")
	h.down = true
	sink, _ := open(t, h, s, client)
	if n, err := sink.Deliver(t.Context(), []events.Event{text(t, 1, "x")}); n != 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	h.down = false
	if n, err := sink.Deliver(ended, []events.Event{text(t, 1, "x")}); n != 0 || err == nil || s.took() != "" {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

// TestNoWayInside: a user's URL leads nowhere inside, and no error of it shows it.
func TestNoWayInside(t *testing.T) {
	s, _ := real(t)
	way, err := outbound.New(outbound.Config{HTTPSOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(protocol.ConvDirect)
	s.device(h, "bo", "u_bo")
	sink, _ := open(t, h, s, way.Client())
	for i := range 5 {
		deliver(t, sink, text(t, uint64(i+1), "x"))
	}
	if _, there := h.failed("bo"); there || s.tried() > 0 {
		t.Errorf("there: %v; %d tries", there, s.tried())
	}
}

func TestConfig(t *testing.T) {
	good := webpush.Config{Devices: newHouse(""), Key: key(t, "k"), Client: http.DefaultClient}
	for name, change := range map[string]func(*webpush.Config){
		"devices": func(c *webpush.Config) { c.Devices = nil }, "key": func(c *webpush.Config) { c.Key = nil }, "client": func(c *webpush.Config) { c.Client = nil },
		"timeout": func(c *webpush.Config) { c.Timeout = -1 }, "delay": func(c *webpush.Config) { c.Delay = -1 }, "contact": func(c *webpush.Config) { c.Contact = "ops@example.org" },
		"http": func(c *webpush.Config) { c.Contact = "http://example.org" }, "nobody": func(c *webpush.Config) { c.Contact = "mailto:" },
	} {
		cfg := good
		change(&cfg)
		if _, err := webpush.New(cfg); err == nil {
			t.Errorf("%s: made", name)
		}
	}
}

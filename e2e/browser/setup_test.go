package browser_test

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

//go:embed bare.html
var bareHTML string

// bare serves the bare page and the relay behind it: what one socket says goes to the others of
// the same address.
type bare struct {
	mu      sync.Mutex
	sockets map[string][]*socket
}

type socket struct {
	mu sync.Mutex // one writes at a time
	*websocket.Conn
}

func (s *socket) send(message []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.WriteMessage(websocket.TextMessage, message) // a page that is gone reads nothing
}

func newBare(t *testing.T, ice protocol.ICE) *httptest.Server {
	b := &bare{sockets: map[string][]*socket{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/relay", b.relay)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		type config struct {
			ICEServers []protocol.ICEServer `json:"iceServers"`
			Policy     string               `json:"iceTransportPolicy"`
		}
		c := config{ice.Servers, "all"}
		if r.URL.Query().Get("relay") != "" {
			c.Policy = "relay"
		}
		text, err := json.Marshal(c)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, strings.Replace(bareHTML, "<script>", "<script>window.ice = "+string(text)+";", 1))
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

func (b *bare) relay(w http.ResponseWriter, r *http.Request) {
	var up websocket.Upgrader
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	s, room := &socket{Conn: conn}, r.URL.RawQuery
	b.mu.Lock()
	b.sockets[room] = append(b.sockets[room], s)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.sockets[room] = slices.DeleteFunc(b.sockets[room], func(o *socket) bool { return o == s })
	}()
	for {
		_, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		b.mu.Lock()
		others := slices.Clone(b.sockets[room])
		b.mu.Unlock()
		for _, o := range others {
			if o != s {
				o.send(message)
			}
		}
	}
}

// way is one way that media takes.
type way struct{ name, transport string }

func (w way) relayed() bool { return w.transport != "" }

// pair is two pages that call one another, again and again.
type pair struct {
	a, b   *page
	url    string
	framed string // JavaScript: when the page saw the first picture of the other side, by performance.now(); 0: not yet
	relay  bool   // to be asked for
	ours   bool
}

// leave ends the call, so that nothing of it is measured with the next one, and makes the page somebody else the next time: who was together lately is kept apart for a while.
func (p *pair) leave(q *page) {
	if p.ours {
		eval[any](q, "(rondo.close(), localStorage.clear(), sessionStorage.clear(), 0)")
	} else {
		eval[any](q, "(stop(), 0)")
	}
	q.open("about:blank")
}

func (p *pair) load(q *page) {
	q.ready(p.url)
	if p.relay && p.ours {
		q.until(step, `document.querySelector('[data-testid="relay"]')`, "the choice to hide the address")
		q.tick("relay")
	}
}

// round has a wait and b come, and returns how many ms after the click b sees a.
func (p *pair) round() float64 {
	for _, q := range []*page{p.a, p.b} {
		p.load(q)
	}
	for _, q := range []*page{p.a, p.b} {
		q.click("start")
		q.view(step, "search", "call")
		if q == p.a {
			// As after the seconds that most wait.
			until := time.Now().Add(time.Second)
			q.until(step, fmt.Sprintf("Date.now() > %d", until.UnixMilli()), "the other one comes")
		}
	}
	for _, q := range []*page{p.a, p.b} {
		q.until(media, p.framed+" > 0", "a picture")
	}
	took := eval[float64](p.b, p.framed+" - probe.clicked")
	for _, q := range []*page{p.a, p.b} {
		p.leave(q)
	}
	return took
}

// TestCallSetUp: a click is followed by a picture about as soon as on two bare pages with a relay between them, in the same
// run and through the same TURN server; RONDO_LOAD=1 measures all ways for docs/performance.md, RONDO_WAY those with a word in
// their name. The operator sees the steps.
func TestCallSetUp(t *testing.T) {
	cert := lab.NewCertificate(t, "localhost")
	n := lab.Start(t, lab.Options{Cert: cert})
	b := newBrowser(t, browserOptions{cert: cert})
	ways, rounds, load := []way{{"host", ""}, {"relay, UDP", "udp"}, {"relay, TCP", "tcp"}, {"relay, TLS", "tls"}}, 2, os.Getenv("RONDO_LOAD") != ""
	if load {
		rounds = 8 // the first one warms up
	} else {
		ways = ways[:2]
	}
	// Of the relays' credentials, which end with its session.
	owner := b.newPage("Owner", pageOptions{})
	owner.ready(n.PageURL("localhost"))
	t.Logf("%-11s %30s %30s %6s", "ms", "bare: median (range)", "ours: median (range)", "ratio")
	for _, w := range ways {
		if !strings.Contains(w.name, os.Getenv("RONDO_WAY")) {
			continue
		}
		srv := newBare(t, eval[protocol.ICE](owner, "rondo.ice()"))
		times := measureWay(&browser{t, b.ctx}, n.PageURL("localhost"), srv.URL, w, rounds)
		if load {
			times[0], times[1] = times[0][1:], times[1][1:]
		}
		bare, ours := median(times[0]), median(times[1])
		t.Logf("%-11s %30s %30s %6.2f", w.name, spread(times[0]), spread(times[1]), ours/bare)
		// Loose, for a busy machine: what waits for a timer or gathers after the match is slower.
		if ours > 2.5*bare+400 {
			t.Errorf("%s: %.0f ms, and %.0f ms on bare pages", w.name, ours, bare)
		}
	}
	for _, series := range []string{`step="total",transport="udp"`, `step="frame",transport="udp"`} {
		for _, path := range []string{"direct", "relay"}[:min(len(ways), 2)] {
			if os.Getenv("RONDO_WAY") != "" {
				continue
			}
			name := "rondo_calls_step_seconds_count{path=" + strconv.Quote(path) + "," + series + "} "
			testenv.Eventually(t, step, func() bool {
				_, rest, found := strings.Cut(n.MetricsText(t), name)
				return found && !strings.HasPrefix(rest, "0")
			}, "the operator sees %s", name)
		}
	}
}

// measureWay returns how long after the click the other one was seen, on bare pages and on ours.
func measureWay(b *browser, ours, bare string, w way, rounds int) (times [2][]float64) {
	o := pageOptions{transport: w.transport, fps: 30}
	if w.relayed() {
		bare += "/?relay=1"
	}
	pairs := [2]*pair{
		{a: b.newPage("bare-a", o), b: b.newPage("bare-b", o), url: bare, framed: "(window.framed || 0)"},
		{a: b.newPage("Ann", o), b: b.newPage("Bo", o), url: ours, relay: w.relayed(), ours: true,
			framed: `(performance.getEntriesByName("rondo:frame").at(-1)?.startTime ?? 0)`},
	}
	for range rounds {
		for i, p := range pairs {
			times[i] = append(times[i], p.round())
		}
	}
	return times
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

func spread(list []float64) string {
	return fmt.Sprintf("%.0f (%.0f–%.0f)", median(list), slices.Min(list), slices.Max(list))
}

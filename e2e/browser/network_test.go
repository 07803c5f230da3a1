package browser_test

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
)

//go:embed trace.js
var traceScript string

// healed bounds how long after the person's link is back the pictures move again;
// handedOver where the old one went without a word, so that this has to be noticed.
const (
	healed     = 10 * time.Second
	handedOver = 15 * time.Second
)

// change is one way in which the person's network changes in the middle of a call.
type change struct {
	name        string
	personFirst bool          // the person is the offerer, else the partner
	gap         time.Duration // without any link; 0: the new one is there before
	moves       bool          // to another network; else the same address comes back
}

// TestNetworkChange: a person leaves the Wi-Fi in the middle of a call and comes
// back by another network, with another address. Both keep each other and what
// they write, and the pictures move again.
func TestNetworkChange(t *testing.T) {
	s := newRoamStage(t, false)
	for _, c := range []change{
		{"person offers", true, 8 * time.Second, true},
		{"partner offers", false, 8 * time.Second, true},
		{"blip", true, 2 * time.Second, false},
		{"handover, person offers", true, 0, true},
		{"handover, partner offers", false, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) { s.run(t, c) })
	}
}

// TestNetworkChangeRelayed is TestNetworkChange where only the relay connects the
// two.
func TestNetworkChangeRelayed(t *testing.T) {
	s := newRoamStage(t, true)
	for _, c := range []change{
		{"person offers", true, 8 * time.Second, true},
		{"partner offers", false, 8 * time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) { s.run(t, c) })
	}
}

// roamStage is a network and a browser at either end, for several calls.
type roamStage struct {
	net             *lab.Roaming
	node            *lab.Node
	cert            *lab.Certificate
	person, partner *browser
	relayed         bool
}

func newRoamStage(t *testing.T, relayed bool) *roamStage {
	t.Helper()
	net := lab.NewRoaming(t, relayed)
	cert := lab.NewCertificate(t, net.ServerIP)
	return &roamStage{
		net: net, relayed: relayed, cert: cert,
		node:    lab.Start(t, lab.Options{Cert: cert, Netns: net.Server, IP: net.ServerIP}),
		person:  newBrowser(t, browserOptions{cert: cert, netns: net.Person}),
		partner: newBrowser(t, browserOptions{cert: cert, netns: net.Partner}),
	}
}

// run has a call in which the network changes.
func (s *roamStage) run(t *testing.T, c change) {
	person := (&browser{t, s.person.ctx}).newPage("Person", pageOptions{phone: true})
	partner := (&browser{t, s.partner.ctx}).newPage("Partner", pageOptions{phone: true})
	order := []*page{person, partner}
	if !c.personFirst {
		slices.Reverse(order)
	}
	for _, p := range order {
		p.arrive(s.node.URL())
		p.start()
	}
	room := person.inCall("")
	before := map[*page]call{person: person.watching(), partner: partner.watching()}
	for p, offers := range map[*page]bool{person: c.personFirst, partner: !c.personFirst} {
		if got := eval[bool](p, `rondo.room.offers([...rondo.room.peers.keys()][0])`); got != offers {
			t.Fatalf("%s offers: %v, want %v", p.name, got, offers)
		}
	}
	person.say(partner, "before")
	for _, p := range order {
		p.closeChat()
		p.do(beginTrace())
	}

	var back time.Time // when there is a link again
	t.Cleanup(func() {
		s.atHome()
		for _, p := range order {
			p.logTrace(back)
		}
	})
	said := s.change(t, c, person, partner)
	back = time.Now()

	for _, p := range order {
		p.movesAgain(back.Add(c.bound()))
	}
	for _, p := range order {
		p.has(append([]string{"before"}, said...))
	}
	person.say(partner, "after")
	partner.say(person, "and after")
	for _, p := range order {
		p.kept(room, before[p], c.moves)
		if c.moves {
			p.told()
		}
	}
	person.reached(back, c.bound()*7/10)
	if c.moves {
		s.usesNewAddress(t, person, partner)
	}
}

// beginTrace begins the trace of a page in a call.
func beginTrace() chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](traceScript)
}

// atHome brings the person back to the Wi-Fi, for the next call.
func (s *roamStage) atHome() {
	s.net.LoseMobile()
	s.net.LoseWifi()
	s.net.JoinWifi()
}

// pause lets an outage be as long as it is.
func pause(d time.Duration) { <-time.NewTimer(d).C }

// arrive is ready over a network that has just changed, where a browser gives up
// what it was loading.
func (p *page) arrive(url string) {
	p.t.Helper()
	testenv.Eventually(p.t, step, func() bool {
		ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
		defer cancel()
		if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
			return false
		}
		open, err := tryEval[bool](p, `new Promise(r => setTimeout(() => r(document.documentElement.dataset.connection === "open"), 500))`)
		return err == nil && open
	}, "%s: the page is there", p.name)
	p.view(step, "landing")
}

// change changes the network, and returns what the two wrote meanwhile.
func (s *roamStage) change(t *testing.T, c change, person, partner *page) (said []string) {
	t.Helper()
	if c.gap == 0 {
		s.net.JoinMobile()
		s.net.LeaveWifi()
		return nil
	}
	s.net.LoseWifi()
	end := time.NewTimer(c.gap)
	defer end.Stop()
	if c.moves {
		person.send("in a tunnel")
	}
	for i := range 3 {
		text := fmt.Sprintf("are you there? %d", i+1)
		partner.send(text)
		partner.until(step, fmt.Sprintf(`rondo.room.chat.messages.some(m => m.text === %q)`, text), text+" is sent")
		said = append(said, text)
	}
	<-end.C
	if !c.moves {
		s.net.JoinWifi()
		return said
	}
	person.until(step, `document.querySelector('[data-testid="peer-state"]').textContent.startsWith("You lost your connection")`, "says whose network it is")
	for _, p := range []*page{person, partner} {
		p.shoot("away-" + p.name)
	}
	s.net.JoinMobile()
	return append(said, "in a tunnel") // which left the tunnel last
}

// usesNewAddress checks that media goes over the network that the person is in now.
func (s *roamStage) usesNewAddress(t *testing.T, person, partner *page) {
	t.Helper()
	var a, b []call
	testenv.Eventually(t, step, func() bool {
		a, b = person.calls(), partner.calls()
		if len(a) != 1 || len(b) != 1 {
			return false
		}
		here := slices.Contains(a[0].LocalAddresses, s.net.MobileIP) || slices.Contains(a[0].LocalAddresses, s.net.MobilePublicIP)
		// The browser hides the address of a peer that was not told of by a candidate.
		return here && b[0].RemoteAddress != s.net.WifiPublicIP
	}, "the call uses the new address: %v", lazy(func() string { return fmt.Sprintf("%+v %+v", a, b) }))
}

func (c change) bound() time.Duration {
	if c.gap == 0 {
		return handedOver
	}
	return healed
}

// movesAgain waits until the same connection shows new pictures.
func (p *page) movesAgain(deadline time.Time) {
	p.t.Helper()
	var last []call
	decoded := -1
	testenv.Eventually(p.t, time.Until(deadline), func() bool {
		last = p.calls()
		if len(last) != 1 || last[0].State != "connected" {
			return false
		}
		if decoded < 0 {
			decoded = last[0].Decoded
		}
		return last[0].Decoded >= decoded+5
	}, "%s: pictures move again; connections are %v", p.name, lazy(func() string { return fmt.Sprintf("%+v", last) }))
}

// kept checks that the page is still in its call, by the same connection.
func (p *page) kept(room string, before call, restarted bool) {
	p.t.Helper()
	if got := p.room(); got != room {
		p.t.Errorf("%s: is in room %q, was in %q", p.name, got, room)
	}
	if n := eval[int](p, `probe.pcs.length`); n != 1 {
		p.t.Errorf("%s: made %d connections", p.name, n)
	}
	if !eval[bool](p, `document.querySelector('[data-testid="remote-video"]').marked === true`) {
		p.t.Errorf("%s: shows another video element", p.name)
	}
	if c := p.calls(); restarted && (len(c) != 1 || c[0].Ufrag == before.Ufrag) {
		p.t.Errorf("%s: no ICE restart: %+v", p.name, c)
	}
	for _, e := range p.trace() {
		if strings.HasPrefix(e.What, "room ") || strings.HasPrefix(e.What, "view ") {
			p.t.Errorf("%s: went to %s", p.name, e.What)
		}
	}
	p.until(step, `!trace.at(-1) || document.documentElement.dataset.connection === "open"`, "connected to the server")
	p.until(step, `[...document.querySelectorAll('[data-testid="peer-state"], #link-state')].every(e => !e.textContent.includes("econnecting") || !e.checkVisibility())`, "says that all is well")
}

// event is a line of trace.js.
type event struct {
	At   int64
	What string
}

func (p *page) trace() []event {
	p.t.Helper()
	return eval[[]event](p, `trace.map(({at, what}) => ({At: at, What: what}))`)
}

// traceText is the trace with times from when the link was back.
func (p *page) traceText(back time.Time) string {
	var s strings.Builder
	for _, e := range p.trace() {
		fmt.Fprintf(&s, "  %s %+6.1f s: %s\n", p.name, time.UnixMilli(e.At).Sub(back).Seconds(), e.What)
	}
	return s.String()
}

func (p *page) logTrace(back time.Time) {
	p.t.Helper()
	p.t.Logf("\n%s", p.traceText(back))
}

// told checks that the person in front of the page could see what was going on.
func (p *page) told() {
	p.t.Helper()
	for _, e := range p.trace() {
		if strings.HasPrefix(e.What, "peer says: ") && strings.Contains(strings.ToLower(e.What), "reconnecting") {
			return
		}
	}
	p.t.Errorf("%s: never said that it reconnects", p.name)
}

// reached checks how long after the link was back the session went on.
func (p *page) reached(back time.Time, bound time.Duration) {
	p.t.Helper()
	var at time.Time
	for _, e := range p.trace() {
		if e.What == "server open" {
			at = time.UnixMilli(e.At)
		}
	}
	if after := at.Sub(back); at.IsZero() || after > bound {
		p.t.Errorf("%s: reached the server %v after the link was back, want at most %v", p.name, after, bound)
	}
}

// send sends a chat message.
func (p *page) send(text string) {
	p.t.Helper()
	p.openChat()
	p.fill("chat-input", text)
	p.click("chat-send")
	p.closeChat()
}

// closeChat shows the picture again, on a phone.
func (p *page) closeChat() {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS("#chat-close"), chromedp.NodeVisible))
}

// has waits until the page's chat is these texts, each shown once.
func (p *page) has(texts []string) {
	p.t.Helper()
	var got []string
	testenv.Eventually(p.t, step, func() bool {
		got, _ = tryEval[[]string](p, `rondo.room.chat.messages.map(m => m.text)`)
		return len(got) >= len(texts)
	}, "%s: has read %q: %v", p.name, texts, lazy(func() string { return fmt.Sprintf("%q", got) }))
	shown := eval[int](p, fmt.Sprintf(`document.querySelectorAll(%q).length`, testid("chat-log")+" li[data-off]"))
	if !slices.Equal(got, texts) || shown != len(texts) {
		p.t.Errorf("%s: has read %q and shows %d of them, want %q", p.name, got, shown, texts)
	}
}

// shoot keeps a picture of the page.
func (p *page) shoot(name string) {
	p.t.Helper()
	shot, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	p.save(name, shot)
}

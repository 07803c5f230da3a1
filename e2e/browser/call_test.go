package browser_test

import (
	"testing"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/client/rtc"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// TestStrangersMeet is the main job: two press Start, see each other, write, one
// presses Next and meets a third, and Stop ends it.
func TestStrangersMeet(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	b := newBrowser(t, browserOptions{})
	ann, bo := b.newPage("Ann", pageOptions{}), b.newPage("Bo", pageOptions{})
	ann.ready(n.URL())
	bo.ready(n.URL())
	ann.start()
	bo.start()
	room := ann.inCall("")
	if got := bo.inCall(""); got != room {
		t.Fatalf("rooms %s and %s", room, got)
	}
	for _, p := range []*page{ann, bo} {
		p.watching()
		p.until(step, `probe.calls().then(c => c[0].audio > 10)`, "sound comes")
	}
	ann.say(bo, "hello from Ann")
	bo.say(ann, "and hello from Bo")

	cy := b.newPage("Cy", pageOptions{})
	cy.ready(n.URL())
	cy.start()
	cy.view(step, "search")
	ann.click("next")
	second := ann.inCall(room)
	if got := cy.inCall(""); got != second {
		t.Fatalf("Ann is in %s, Cy in %s", second, got)
	}
	ann.watching()
	cy.watching()
	bo.callOver()
	ann.say(cy, "hello Cy")

	ann.click("stop")
	ann.view(step, "landing")
	ann.until(step, `probe.pcs.every(pc => pc.connectionState === "closed")`, "no connection is left open")
	ann.until(step, `[...document.querySelectorAll("video")].every(v => !v.srcObject || v.srcObject.getTracks().every(t => t.readyState === "ended"))`, "camera and microphone are off")
	cy.callOver()

	// Those two who were left go on, and meet each other.
	bo.click("next")
	bo.view(step, "search")
	cy.click("next")
	third := bo.inCall(room)
	if got := cy.inCall(second); got != third {
		t.Fatalf("Bo is in %s, Cy in %s", third, got)
	}
	bo.watching()
	cy.watching()
}

// callOver waits until the page knows that the other one has left.
func (p *page) callOver() {
	p.t.Helper()
	p.until(step, `probe.pcs.length > 0 && probe.pcs.every(pc => pc.connectionState === "closed")`, "the call is over")
}

// TestRelayOnly: "hide my address" keeps to TURN, over each transport.
func TestRelayOnly(t *testing.T) {
	cert := lab.NewCertificate(t, "localhost")
	n := lab.Start(t, lab.Options{Cert: cert})
	b := newBrowser(t, browserOptions{cert: cert})
	for _, transport := range []string{"udp", "tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			b := &browser{t, b.ctx}
			ann, bo := b.newPage("Ann", pageOptions{transport: transport}), b.newPage("Bo", pageOptions{transport: transport})
			ann.ready(n.PageURL("localhost"))
			bo.ready(n.PageURL("localhost"))
			ann.until(step, `document.querySelector('[data-testid="relay"]')`, "the choice to hide the address")
			ann.tick("relay")
			ann.start()
			bo.start() // asked for nothing, and is relayed all the same
			ann.inCall("")
			for _, p := range []*page{ann, bo} {
				c := p.watching()
				if c.Local != "relay" || c.Remote != "relay" || c.Relay != transport {
					t.Errorf("%s: %+v, want relay over %s on both sides", p.name, c, transport)
				}
			}
		})
	}
}

// tick checks a checkbox that may stand in a closed part of the page.
func (p *page) tick(id string) {
	p.t.Helper()
	p.until(step, `(() => { const e = document.querySelector('`+testid(id)+`'); if (!e) return false; e.closest("details")?.setAttribute("open", ""); return true; })()`, id+" is there")
	p.click(id)
	p.until(step, `document.querySelector('`+testid(id)+`').checked`, id+" is checked")
}

// TestBehindNATs: two people whose routers allow no direct path; only the relay
// connects them.
func TestBehindNATs(t *testing.T) {
	net := lab.NewNATs(t)
	cert := lab.NewCertificate(t, net.ServerIP)
	n := lab.Start(t, lab.Options{Cert: cert, Netns: net.Server, IP: net.ServerIP})
	pages := map[string]*page{}
	for name, ns := range map[string]string{"Ann": net.A, "Bo": net.B} {
		p := newBrowser(t, browserOptions{cert: cert, netns: ns}).newPage(name, pageOptions{})
		p.ready(n.URL())
		p.start()
		pages[name] = p
	}
	ann, bo := pages["Ann"], pages["Bo"]
	ann.inCall("")
	for _, p := range []*page{ann, bo} {
		if c := p.watching(); c.Local != "relay" && c.Remote != "relay" {
			t.Errorf("%s: %+v, and no direct path exists", p.name, c)
		}
	}
	ann.say(bo, "through two routers")
}

// TestOnlyHTTPS: who can reach nothing but port 443 has a call, by the relay on the
// page's own port.
func TestOnlyHTTPS(t *testing.T) {
	net := lab.NewNATs(t)
	net.OnlyHTTPS(t)
	cert := lab.NewCertificate(t, net.ServerIP)
	n := lab.Start(t, lab.Options{Cert: cert, Netns: net.Server, IP: net.ServerIP, Args: []string{"--listen", net.ServerIP + ":443"}})
	ann := newBrowser(t, browserOptions{cert: cert, netns: net.A}).newPage("Ann", pageOptions{})
	bo := newBrowser(t, browserOptions{cert: cert, netns: net.B}).newPage("Bo", pageOptions{})
	for _, p := range []*page{ann, bo} {
		p.ready(n.URL())
		p.start()
	}
	ann.inCall("")
	bo.watching()
	if c := ann.watching(); c.Local != "relay" || c.Relay != "tls" {
		t.Errorf("%+v, and only TLS to port 443 gets out", c)
	}
	ann.say(bo, "through the one door")
}

// TestPagesOnTwoNodes: two pages on two processes that share one Redis.
func TestPagesOnTwoNodes(t *testing.T) {
	nodes := lab.Pair(t, testenv.Redis(t).URL)
	b := newBrowser(t, browserOptions{})
	ann, bo := b.newPage("Ann", pageOptions{}), b.newPage("Bo", pageOptions{})
	ann.ready(nodes[0].URL())
	bo.ready(nodes[1].URL())
	ann.start()
	bo.start()
	if a, b := ann.inCall(""), bo.inCall(""); a != b {
		t.Fatalf("rooms %s and %s", a, b)
	}
	ann.watching()
	bo.watching()
	ann.say(bo, "greetings to the other node")
	bo.say(ann, "and back")
}

// TestBrowserMeetsProgram: the page and the Go SDK in one call, each as offerer.
func TestBrowserMeetsProgram(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	b := newBrowser(t, browserOptions{})
	engine, err := rtc.NewEngine(rtc.EngineConfig{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, programFirst := range []bool{true, false} {
		name := map[bool]string{true: "program offers", false: "page offers"}[programFirst]
		t.Run(name, func(t *testing.T) {
			b := &browser{t, b.ctx}
			ann := b.newPage("Ann", pageOptions{})
			ann.ready(n.URL())
			bot := n.Dial(t, 1, client.Options{Name: "Bot"})
			find := func() {
				if _, err := bot.Find(t.Context(), protocol.Find{}); err != nil {
					t.Fatal(err)
				}
			}
			if programFirst {
				find()
				ann.start()
			} else {
				ann.start()
				ann.view(step, "search")
				find()
			}
			peers := make(chan *rtc.Peer, 1)
			go answer(t, bot, engine, peers)
			var peer *rtc.Peer
			select {
			case peer = <-peers:
			case <-time.After(step):
				t.Fatal("the program met nobody")
			}
			defer peer.Close()
			ann.inCall("")
			ann.watching()
			testenv.Eventually(t, media, func() bool { c := peer.Counts(); return c.Frames >= 10 && c.Keyframes >= 1 },
				"the program gets pictures: %v, %v", lazy(func() string { return peer.State().String() }), peer.Err())
			ann.openChat()
			if _, err := bot.Chat(t.Context(), protocol.RoomID(ann.room()), "beep"); err != nil {
				t.Fatal(err)
			}
			ann.until(step, `document.querySelector('[data-testid="chat-log"]').textContent.includes("beep")`, "the program's words")
		})
	}
}

// answer makes a peer of each match of bot's, and feeds it.
func answer(t *testing.T, bot *client.Client, engine *rtc.Engine, peers chan<- *rtc.Peer) {
	var peer *rtc.Peer
	for ev := range bot.Events() {
		switch ev := ev.(type) {
		case client.Found:
			p, err := engine.Match(bot, ev, rtc.Config{Video: true})
			if err != nil {
				t.Errorf("peer: %v", err)
				return
			}
			peer = p
			peers <- p
		case client.Signal:
			if peer != nil {
				peer.Handle(ev)
			}
		}
	}
}

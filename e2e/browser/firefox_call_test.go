package browser_test

import (
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/e2e/lab"
)

// TestFirefox: Firefox meets Chromium, then another Firefox; they see, hear and
// read each other. Then only the relay connects two, by each way to it.
func TestFirefox(t *testing.T) {
	cert := lab.NewCertificate(t, "localhost")
	n := lab.Start(t, lab.Options{Cert: cert})
	url := n.PageURL("localhost")
	f := newFirefox(t)

	t.Run("meets Chromium", func(t *testing.T) {
		chromium := newBrowser(t, browserOptions{cert: cert})
		ann, bo := f.newPage(t, "Ann", pageOptions{}), chromium.newPage("Bo", pageOptions{})
		for _, p := range []*page{ann, bo} {
			p.ready(url)
			p.start()
		}
		room := ann.inCall("")
		if got := bo.inCall(""); got != room {
			t.Fatalf("rooms %s and %s", room, got)
		}
		for _, p := range []*page{ann, bo} {
			p.watching()
			p.until(step, `probe.calls().then(c => c[0].audio > 10)`, "sound comes")
		}
		ann.say(bo, "hello from Firefox")
		bo.say(ann, "and hello from Chromium")

		cy := f.newPage(t, "Cy", pageOptions{})
		cy.ready(url)
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
		ann.say(cy, "you have a fox too")
		for _, p := range []*page{ann, bo, cy} {
			p.click("stop")
			p.view(step, "landing")
		}
	})
	for _, way := range [][2]string{{"udp", "tcp"}, {"tls", "https"}} {
		t.Run("relayed over "+way[0]+" and "+way[1], func(t *testing.T) {
			pages := map[string]*page{}
			for _, transport := range way {
				p := f.newPage(t, "over "+transport, pageOptions{transport: transport})
				p.ready(url)
				if len(pages) == 0 {
					p.tick("relay")
				}
				p.start()
				pages[transport] = p
			}
			for transport, p := range pages {
				relay := strings.Replace(transport, "https", "tls", 1)
				if c := p.watching(); c.Local != "relay" || c.Remote != "relay" || c.Relay != relay {
					t.Errorf("%s: %+v, want relay over %s and relay on the other side", p.name, c, relay)
				}
			}
		})
	}
}

package browser_test

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// TestWithoutCamera: who has no camera, or does not give it, still sees and reads
// the other.
func TestWithoutCamera(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	full := newBrowser(t, browserOptions{})
	for name, kind := range map[string]mediaKind{"denied": deniedDevices, "missing": noDevices} {
		t.Run(name, func(t *testing.T) {
			ann := newBrowser(t, browserOptions{media: kind}).newPage("Ann", pageOptions{})
			bo := (&browser{t, full.ctx}).newPage("Bo", pageOptions{})
			ann.ready(n.URL())
			ann.startRests()
			ann.start()
			bo.ready(n.URL())
			bo.start()
			ann.inCall("")
			bo.inCall("")
			ann.watching()
			ann.say(bo, "I see you")
			bo.say(ann, "and I read you")
		})
	}
}

// startRests opens the device check where something is missing: that it says so
// must not move Start away from a finger.
func (p *page) startRests() {
	p.t.Helper()
	p.click("device-check-open")
	p.until(step, `document.querySelector('[data-testid="check-problem"]').checkVisibility()`, "what is missing is told")
	moved := eval[float64](p, `(() => {
		const top = () => document.querySelector('[data-testid="check-start"]').getBoundingClientRect().top;
		const problem = document.querySelector('[data-testid="check-problem"]');
		const told = top();
		problem.hidden = true;
		const before = top();
		problem.hidden = false;
		return Math.abs(told - before);
	})()`)
	if moved > 0 {
		p.t.Errorf("Start moves by %v when something turns out to be missing", moved)
	}
	p.click("check-back")
}

// TestReload: a reload in the middle of a call comes back to the same partner.
func TestReload(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	b := newBrowser(t, browserOptions{})
	ann, bo := b.newPage("Ann", pageOptions{}), b.newPage("Bo", pageOptions{})
	for _, p := range []*page{ann, bo} {
		p.ready(n.URL())
		p.start()
	}
	room := ann.inCall("")
	ann.watching()
	bo.watching()
	ann.say(bo, "before")
	ann.do(chromedp.Reload())
	if got := ann.inCall(""); got != room {
		t.Fatalf("came back into %s, was in %s", got, room)
	}
	ann.watching()
	bo.watching()
	ann.openChat()
	ann.until(step, `document.querySelector('[data-testid="chat-log"]').textContent.includes("before")`, "the chat is still there")
	bo.say(ann, "after")
}

// TestTextOnly: two people who only write.
func TestTextOnly(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	b := newBrowser(t, browserOptions{media: noDevices})
	ann, bo := b.newPage("Ann", pageOptions{}), b.newPage("Bo", pageOptions{phone: true})
	for _, p := range []*page{ann, bo} {
		p.ready(n.URL())
		p.choose("mode-text")
		p.start()
	}
	if a, b := ann.inCall(""), bo.inCall(""); a != b {
		t.Fatalf("rooms %s and %s", a, b)
	}
	ann.say(bo, "hello 👋")
	bo.say(ann, "hello yourself")
	if mode := eval[string](ann, `document.documentElement.dataset.mode`); mode != "text" {
		t.Fatalf("mode %s", mode)
	}
}

// choose clicks a radio input or, where that is not drawn, its label.
func (p *page) choose(id string) {
	p.t.Helper()
	p.until(step, `document.querySelector('`+testid(id)+`')`, id+" is there")
	if eval[bool](p, `(() => { const r = document.querySelector('`+testid(id)+`').getBoundingClientRect(); return r.width > 4 && r.height > 4; })()`) {
		p.click(id)
	} else {
		p.do(chromedp.Click(chromedp.CSS("label:has("+testid(id)+")"), chromedp.NodeVisible))
	}
	p.until(step, `document.querySelector('`+testid(id)+`').checked`, id+" is chosen")
}

// TestNamedRoom: three people meet in a room by its link.
func TestNamedRoom(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	b := newBrowser(t, browserOptions{})
	ann := b.newPage("Ann", pageOptions{})
	ann.ready(n.URL())
	ann.click("create-room")
	ann.fill("room-name", "Monday")
	ann.click("create-room-submit")
	if ann.view(step, "check", "lobby", "call") == "check" {
		ann.click("check-start")
	}
	room := ann.inCall("")
	for _, name := range []string{"Bo", "Cy"} {
		p := b.newPage(name, pageOptions{})
		p.open(n.URL() + "/r/" + room)
		p.view(step, "lobby")
		p.fill("lobby-name", name)
		p.click("join-room")
		if p.view(step, "check", "call") == "check" {
			p.click("check-start")
		}
		if got := p.inCall(""); got != room {
			t.Fatalf("%s is in %s, not %s", name, got, room)
		}
		if name == "Bo" {
			p.watching()
			ann.watching()
			p.say(ann, "anybody here?")
		}
	}
	testenv.Eventually(t, media, func() bool {
		calls := ann.calls()
		return len(calls) == 2 && calls[0].Decoded > 5 && calls[1].Decoded > 5
	}, "Ann sees both")
}

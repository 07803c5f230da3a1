package browser_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// look is one view to look at: how to get there, and what must be seen in it.
type look struct {
	name  string
	reach func(s *stage)
	seen  []string // data-testids that must lie in the window
}

// stage is who takes part in the looking.
type stage struct {
	node  *lab.Node
	page  *page // looked at
	other *page // who is met; made when needed
	b     *browser
}

// looks are in the order of a visit.
func looks() []look {
	return []look{
		{"landing", func(s *stage) { s.page.ready(s.node.URL()) }, []string{"start", "name", "mode-video", "theme", "help"}},
		{"check", func(s *stage) {
			s.page.click("device-check-open")
			s.page.view(step, "check")
			s.page.until(media, `(() => { const v = document.querySelector('[data-testid="check-preview"]'); return v && v.videoWidth > 0 && v.currentTime > 0; })()`, "preview")
		}, []string{"check-preview", "check-start", "check-camera", "check-microphone"}},
		{"search", func(s *stage) {
			s.page.click("check-start")
			s.page.view(step, "search")
			s.page.until(step, `document.querySelector('[data-testid="waiting"]').textContent.trim() !== ""`, "the wait is told")
		}, []string{"cancel", "waiting", "reach"}},
		{"call", func(s *stage) {
			s.other = s.b.newPage("Other", pageOptions{})
			s.other.ready(s.node.URL())
			s.other.start()
			s.page.inCall("")
			s.page.watching()
			s.page.until(media, `(() => { const v = document.querySelector('[data-testid="remote-video"]'); return v && v.videoWidth > 0; })()`, "the other's picture")
		}, []string{"remote-video", "local-video", "next", "stop", "toggle-mic", "toggle-camera", "toggle-chat"}},
		{"chat", func(s *stage) {
			s.other.say(s.page, "what a nice view")
		}, []string{"chat-input", "chat-send", "chat-log", "next", "stop"}},
	}
}

// sizes and colours that every view is looked at in.
type screen struct {
	name  string
	phone bool
	dark  bool
}

// TestLook: every view at phone and desktop size, light and dark: something is
// drawn, what must be there lies in the window, and nothing scrolls sideways.
func TestLook(t *testing.T) {
	for _, sc := range []screen{{"desktop", false, false}, {"phone", true, true}, {"phone light", true, false}, {"desktop dark", false, true}} {
		t.Run(sc.name, func(t *testing.T) {
			s := newStage(t, sc)
			for _, l := range looks() {
				l.reach(s)
				s.page.still()
				shot, err := chromedp.Run(s.page.ctx, chromedp.CaptureScreenshot())
				if err != nil {
					t.Fatal(err)
				}
				s.page.save(l.name, shot)
				checkPicture(t, l.name, shot, sc)
				s.page.checkLayout(l)
			}
		})
	}
}

func newStage(t *testing.T, sc screen) *stage {
	t.Helper()
	b := newBrowser(t, browserOptions{})
	s := &stage{node: lab.Start(t, lab.Options{}), b: b, page: b.newPage("Looker", pageOptions{phone: sc.phone})}
	s.page.scheme(sc)
	return s
}

// scheme gives the page a screen's colours, and has nothing move.
func (p *page) scheme(sc screen) {
	p.t.Helper()
	scheme := map[bool]string{true: "dark", false: "light"}[sc.dark]
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		return err
	}))
}

// still waits until fonts are there and nothing moves any more.
func (p *page) still() {
	p.t.Helper()
	p.until(step, `document.fonts.status === "loaded" && document.getAnimations().every(a => a.playState !== "running" || a.effect?.getComputedTiming().iterations === Infinity)`, "nothing moves")
}

// checkPicture checks that something is drawn, in the wanted brightness.
func checkPicture(t *testing.T, name string, shot []byte, sc screen) {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	colours, most, light := tally(img)
	if len(colours) < 40 {
		t.Errorf("%s: %d colours: is it blank?", name, len(colours))
	}
	if most > 0.97 {
		t.Errorf("%s: %.0f %% of the window has one colour", name, 100*most)
	}
	if name == "landing" && (light < 0.5) != sc.dark {
		t.Errorf("%s: brightness %.2f, dark: %v", name, light, sc.dark)
	}
}

// tally counts every fourth pixel's colour; most is the share of the commonest,
// light the mean brightness.
func tally(img image.Image) (colours map[color.RGBA]int, most, light float64) {
	colours = map[color.RGBA]int{}
	n, top, sum := 0, 0, 0.0
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y += 2 {
		for x := b.Min.X; x < b.Max.X; x += 2 {
			c := color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)
			colours[c]++
			top = max(top, colours[c])
			sum += float64(c.R)*0.30 + float64(c.G)*0.59 + float64(c.B)*0.11
			n++
		}
	}
	return colours, float64(top) / float64(n), sum / float64(n) / 255
}

// box is where an element lies in the window.
type box struct {
	ID                       string
	Missing, Hidden          bool
	Left, Top, Right, Bottom float64
}

// checkLayout checks that the view fits the window and shows what it must.
func (p *page) checkLayout(l look) {
	p.t.Helper()
	size := eval[struct{ W, H, Scroll float64 }](p, `({W: innerWidth, H: innerHeight, Scroll: document.documentElement.scrollWidth})`)
	if size.Scroll > size.W {
		p.t.Errorf("%s: scrolls sideways: %v in %v", l.name, size.Scroll, size.W)
	}
	ids, _ := json.Marshal(l.seen) // strings
	boxes := eval[[]box](p, fmt.Sprintf(`%s.map(ID => {
	  const e = document.querySelector('[data-testid="' + ID + '"]');
	  if (!e) return {ID, Missing: true};
	  const r = (e.labels?.[0] && e.type === "radio" ? e.labels[0] : e).getBoundingClientRect();
	  return {ID, Hidden: !e.checkVisibility(), Left: r.left, Top: r.top, Right: r.right, Bottom: r.bottom};
	})`, ids))
	for _, b := range boxes {
		switch {
		case b.Missing || b.Hidden:
			p.t.Errorf("%s: %s: missing %v, hidden %v", l.name, b.ID, b.Missing, b.Hidden)
		case b.Right-b.Left < 8 || b.Bottom-b.Top < 8:
			p.t.Errorf("%s: %s is too small: %+v", l.name, b.ID, b)
		case b.Left < -1 || b.Right > size.W+1 || b.Top < -1 || l.name != "landing" && l.name != "check" && b.Bottom > size.H+1:
			p.t.Errorf("%s: %s lies outside the window of %vx%v: %+v", l.name, b.ID, size.W, size.H, b)
		case b.ID == "start" && b.Bottom > size.H:
			p.t.Errorf("%s: Start is below the fold: %+v", l.name, b)
		}
	}
}

// TestAccessible: axe finds nothing to complain of in any view.
func TestAccessible(t *testing.T) {
	axe := axeScript(t)
	for _, sc := range []screen{{"desktop", false, false}, {"phone dark", true, true}} {
		t.Run(sc.name, func(t *testing.T) {
			s := newStage(t, sc)
			for _, l := range looks() {
				l.reach(s)
				s.page.still()
				s.page.axe(axe, l.name, "html")
			}
		})
	}
}

// violation is what axe found.
type violation struct {
	ID, Impact, Help string
	Nodes            []string
}

// axe looks at what the selector finds.
func (p *page) axe(script, view, what string) {
	p.t.Helper()
	if !eval[bool](p, `typeof axe !== "undefined"`) {
		p.do(chromedp.Evaluate[chromedp.Void](script))
	}
	found := eval[[]violation](p, fmt.Sprintf(`axe.run([...document.querySelectorAll(%q)].at(-1), {resultTypes: ["violations"]}).then(r => r.violations.map(v =>
	  ({ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.map(n => n.html.slice(0, 200) + " " + (n.failureSummary || ""))})))`, what))
	for _, v := range found {
		p.t.Errorf("%s: %s (%s): %s\n  %s", view, v.ID, v.Impact, v.Help, strings.Join(v.Nodes, "\n  "))
	}
}

// axeScript returns axe-core: what web's development dependencies hold, else what
// npm fetches, once a machine.
func axeScript(t *testing.T) string {
	t.Helper()
	web := filepath.Join("..", "..", "web")
	if b, err := os.ReadFile(filepath.Join(web, "node_modules", "axe-core", "axe.min.js")); err == nil {
		return string(b)
	}
	version := axeVersion(t, filepath.Join(web, "package.json"))
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "rondo-e2e", "axe-core-"+version)
	path := filepath.Join(dir, "package", "axe.min.js")
	if _, err := os.Stat(path); err != nil {
		fetchAxe(t, dir, version)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func axeVersion(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		DevDependencies map[string]string `json:"devDependencies"`
	}
	if err := json.Unmarshal(b, &p); err != nil || p.DevDependencies["axe-core"] == "" {
		t.Fatalf("web/package.json names no axe-core: %v", err)
	}
	return p.DevDependencies["axe-core"]
}

func fetchAxe(t *testing.T, dir, version string) {
	t.Helper()
	npm, tar := testenv.Need(t, "npm"), testenv.Need(t, "tar")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	pack := exec.Command(npm, "pack", "--silent", "axe-core@"+version)
	pack.Dir = dir
	if out, err := pack.CombinedOutput(); err != nil {
		testenv.Missing(t, "axe-core cannot be fetched: %v\n%s", err, out)
	}
	unpack := exec.Command(tar, "-xzf", "axe-core-"+version+".tgz")
	unpack.Dir = dir
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("axe-core: %v\n%s", err, out)
	}
}

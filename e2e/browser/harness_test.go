package browser_test

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
)

func TestMain(m *testing.M) {
	if config := os.Getenv(programVariable); config != "" {
		fmt.Fprintln(os.Stderr, runProgram(config))
		os.Exit(1)
	}
	os.Exit(lab.Main(m))
}

const (
	// step is how long one thing on a page may take.
	step = 20 * time.Second
	// media is how long it may take until pictures move, on two busy cores.
	media = 45 * time.Second
)

//go:embed inject.js
var injected string

// browserOptions of a Chromium process.
type browserOptions struct {
	cert  *lab.Certificate // to trust
	netns string           // network namespace to run in
	media mediaKind
}

// mediaKind is what devices a browser has.
type mediaKind int

const (
	fakeDevices mediaKind = iota // camera and microphone, allowed
	deniedDevices
	noDevices
)

// browser is one Chromium process, driven over a pipe.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// newBrowser starts Chromium; it ends with the test.
func newBrowser(t *testing.T, o browserOptions) *browser {
	t.Helper()
	path := testenv.Need(t, "chromium", "chromium", "chromium-browser", "google-chrome")
	if o.netns != "" {
		path = lab.NetnsWrapper(t, o.netns, path)
	}
	opts := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 800),
	}
	flags := []string{
		"allow-loopback-in-peer-connection", "disable-quic", "disable-background-networking", "disable-component-update",
		"disable-sync", "disable-dev-shm-usage", "disable-extensions", "mute-audio", "disable-renderer-backgrounding",
		"disable-background-timer-throttling", "disable-backgrounding-occluded-windows", "hide-scrollbars",
	}
	switch o.media {
	case fakeDevices:
		flags = append(flags, "use-fake-device-for-media-stream", "use-fake-ui-for-media-stream")
	case deniedDevices:
		flags = append(flags, "use-fake-device-for-media-stream")
	}
	for _, f := range flags {
		opts = append(opts, chromedp.Flag(f, true))
	}
	if o.cert != nil {
		opts = append(opts, chromedp.Flag("ignore-certificate-errors-spki-list", o.cert.SPKI))
	}
	// The test's context ends before its cleanups, which still look at the pages.
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), opts...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		// The polite end waits for Chromium to remove its profile's locks.
		bounded, stop := context.WithTimeout(ctx, 10*time.Second)
		defer stop()
		if err := chromedp.Cancel(bounded); err != nil && !errors.Is(err, context.Canceled) {
			t.Logf("closing the browser: %v", err)
		}
		cancel()
		cancelAlloc()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return &browser{t, ctx}
}

// pageOptions of a tab.
type pageOptions struct {
	phone     bool
	transport string // limit TURN to udp, tcp, tls or https
	fps       int    // of the camera; 0: 10, which costs little
}

// script runs in a page before its own.
func (o pageOptions) script() string {
	return strings.NewReplacer("{{transport}}", o.transport, "{{fps}}", strconv.Itoa(cmp.Or(o.fps, 10))).Replace(injected)
}

// tab is a page as its browser drives it. Each ctx comes from the page's.
type tab interface {
	// evaluate returns the value of an expression, awaited if it is a promise.
	evaluate(ctx context.Context, expression string) (json.RawMessage, error)
	navigate(ctx context.Context, url string) error
	// click clicks in the middle of the element, as a person does.
	click(ctx context.Context, selector string) error
	// insert types into the element that has the focus.
	insert(ctx context.Context, text string) error
	screenshot(ctx context.Context) ([]byte, error)
}

// page is a tab in a profile of its own: a person of their own.
type page struct {
	t    *testing.T
	name string
	ctx  context.Context
	tab  tab

	console console
}

// newPage opens an empty tab.
func (b *browser) newPage(name string, o pageOptions) *page {
	b.t.Helper()
	return b.openPage(b.ctx, name, o, chromedp.WithNewBrowserContext())
}

// newTab opens another tab of the same profile: of the same person.
func (p *page) newTab(name string, o pageOptions) *page {
	p.t.Helper()
	return (&browser{p.t, p.ctx}).openPage(p.ctx, name, o)
}

func (b *browser) openPage(parent context.Context, name string, o pageOptions, opts ...chromedp.ContextOption) *page {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(parent, opts...)
	p := &page{t: b.t, name: name, ctx: ctx, tab: chromiumTab{}}
	b.t.Cleanup(func() {
		p.checkConsole()
		if b.t.Failed() {
			p.explain()
		}
		cancel()
	})
	// The first run makes the tab, which lives as long as the run's context.
	if err := chromedp.Do(ctx); err != nil {
		b.t.Fatalf("%s: %v", name, err)
	}
	width, height, viewport := int64(1280), int64(800), []chromedp.EmulateViewportOption{}
	if o.phone {
		width, height = 390, 844
		viewport = append(viewport, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	script := o.script()
	p.do(chromedp.EmulateViewport(width, height, viewport...),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, cdpage.AddScriptToEvaluateOnNewDocument, cdpage.AddScriptToEvaluateOnNewDocumentParams{Source: script})
			return err
		}))
	p.watchConsole()
	return p
}

// chromiumTab is a tab of Chromium; which one, the context knows.
type chromiumTab struct{}

func (chromiumTab) evaluate(ctx context.Context, expression string) (json.RawMessage, error) {
	return chromedp.Run(ctx, chromedp.Evaluate[json.RawMessage](expression, chromedp.EvalAwaitPromise))
}

func (chromiumTab) navigate(ctx context.Context, url string) error {
	return chromedp.Do(ctx, chromedp.Navigate(url))
}

func (chromiumTab) click(ctx context.Context, selector string) error {
	return chromedp.Do(ctx, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

func (chromiumTab) insert(ctx context.Context, text string) error {
	return chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, input.InsertText, input.InsertTextParams{Text: text})
		return err
	}))
}

func (chromiumTab) screenshot(ctx context.Context) ([]byte, error) {
	return chromedp.Run(ctx, chromedp.CaptureScreenshot())
}

// console collects what a page says there.
type console struct {
	mu       sync.Mutex
	uncaught []string
	lines    []string
}

// watchConsole collects from now on.
func (p *page) watchConsole() {
	p.t.Helper()
	c := &p.console
	err := chromedp.Listen(p.ctx, func(ev any) {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			c.uncaught = append(c.uncaught, exceptionText(ev.ExceptionDetails))
		case *runtime.EventConsoleAPICalled:
			c.lines = append(c.lines, string(ev.Type)+": "+consoleText(ev.Args))
		case *log.EventEntryAdded:
			c.lines = append(c.lines, string(ev.Entry.Level)+": "+ev.Entry.Text)
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// checkConsole fails the test for exceptions that nobody caught and for what the
// page's own security policy refused.
func (p *page) checkConsole() {
	p.console.mu.Lock()
	defer p.console.mu.Unlock()
	for _, s := range p.console.uncaught {
		p.t.Errorf("%s: uncaught: %s", p.name, s)
	}
	for _, s := range p.console.lines {
		if strings.Contains(s, "Content Security Policy") {
			p.t.Errorf("%s: %s", p.name, s)
		}
		if p.t.Failed() {
			p.t.Logf("%s: console: %s", p.name, s)
		}
	}
}

func exceptionText(d *runtime.ExceptionDetails) string {
	if d.Exception != nil && d.Exception.Description != "" {
		return d.Exception.Description
	}
	return d.Text
}

func consoleText(args []*runtime.RemoteObject) string {
	var s strings.Builder
	for _, a := range args {
		if a.Description != "" {
			fmt.Fprintf(&s, "%s ", a.Description)
		} else {
			fmt.Fprintf(&s, "%s ", a.Value)
		}
	}
	return s.String()
}

// do runs actions, each step bounded.
func (p *page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, step)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// eval evaluates an expression, which may be a promise.
func eval[T any](p *page, expression string) T {
	p.t.Helper()
	v, err := tryEval[T](p, expression)
	if err != nil {
		p.t.Fatalf("%s: %s: %v", p.name, expression, err)
	}
	return v
}

func tryEval[T any](p *page, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, step)
	defer cancel()
	var v T
	data, err := p.tab.evaluate(ctx, expression)
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal(data, &v)
}

// act does one thing with the tab.
func (p *page) act(f func(ctx context.Context) error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, step)
	defer cancel()
	if err := f(ctx); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// until waits until the expression is true.
func (p *page) until(d time.Duration, expression, what string) {
	p.t.Helper()
	testenv.Eventually(p.t, d, func() bool {
		ok, err := tryEval[bool](p, "Promise.resolve("+expression+").then(v => !!v)")
		return err == nil && ok
	}, "%s: %s", p.name, what)
}

func (p *page) open(url string) {
	p.t.Helper()
	p.act(func(ctx context.Context) error { return p.tab.navigate(ctx, url) })
}

func testid(id string) string { return `[data-testid="` + id + `"]` }

// restsJS is true once an element can be seen and used and has not moved for two
// frames: a page that is still being drawn would take it from under the click.
const restsJS = `(() => {
	const e = document.querySelector(%q), at = (window.testRests ??= {}), now = performance.now();
	if (!e || e.disabled || !e.checkVisibility()) return false;
	const box = JSON.stringify(e.getBoundingClientRect());
	if (at.e !== e || at.box !== box) Object.assign(at, { e, box, since: now });
	return now - at.since >= 34;
})()`

// click clicks an element as a person does, once it can be seen.
func (p *page) click(id string) {
	p.t.Helper()
	p.until(step, fmt.Sprintf(restsJS, testid(id)), id+" can be clicked")
	p.act(func(ctx context.Context) error { return p.tab.click(ctx, testid(id)) })
}

// fill types text into an input.
func (p *page) fill(id, text string) {
	p.t.Helper()
	p.click(id)
	p.act(func(ctx context.Context) error { return p.tab.insert(ctx, text) })
}

// view waits until the page shows one of views and returns which.
func (p *page) view(d time.Duration, views ...string) string {
	p.t.Helper()
	var got string
	testenv.Eventually(p.t, d, func() bool {
		got, _ = tryEval[string](p, `document.documentElement.dataset.view || ""`)
		for _, v := range views {
			if got == v {
				return true
			}
		}
		return false
	}, "%s: view %s", p.name, strings.Join(views, " or "))
	return got
}

// ready opens the page and waits until it is connected.
func (p *page) ready(url string) {
	p.t.Helper()
	p.open(url)
	p.view(step, "landing", "lobby")
	p.until(step, `document.documentElement.dataset.connection === "open"`, "connected")
}

// start presses Start, goes through the device check where one comes, and searches.
func (p *page) start() {
	p.t.Helper()
	p.click("start")
	if p.view(step, "check", "search", "call") == "check" {
		p.click("check-start")
		p.view(step, "search", "call")
	}
}

// room returns the id of the room the page is in.
func (p *page) room() string {
	p.t.Helper()
	return eval[string](p, `document.documentElement.dataset.room || ""`)
}

// inCall waits until the page is in a call in another room than before.
func (p *page) inCall(before string) string {
	p.t.Helper()
	p.until(step, fmt.Sprintf(`document.documentElement.dataset.view === "call" && document.documentElement.dataset.room && document.documentElement.dataset.room !== %q`, before),
		"in a call, not in "+before)
	return p.room()
}

// call is what inject.js tells of one peer connection.
type call struct {
	State   string `json:"state"`
	Decoded int    `json:"decoded"`
	Audio   int    `json:"audio"`
	Local   string `json:"local"`
	Remote  string `json:"remote"`
	Relay   string `json:"relay"`

	LocalAddresses []string `json:"localAddresses"` // of the candidate, and the one it came from
	RemoteAddress  string   `json:"remoteAddress"`
	Ufrag          string   `json:"ufrag"` // changes with an ICE restart
}

func (p *page) calls() []call {
	calls, err := tryEval[[]call](p, `probe.calls()`)
	if err != nil {
		p.t.Logf("%s: %v", p.name, err)
	}
	return calls
}

// watching waits until pictures move on the page's one connection, and returns
// it.
func (p *page) watching() call {
	p.t.Helper()
	first := -1
	var last []call
	testenv.Eventually(p.t, media, func() bool {
		last = p.calls()
		if len(last) != 1 || last[0].State != "connected" {
			return false
		}
		if first < 0 {
			first = last[0].Decoded
		}
		return last[0].Decoded >= first+5
	}, "%s: pictures move; connections are %v", p.name, lazy(func() string { return fmt.Sprintf("%+v", last) }))
	return last[0]
}

// lazy formats what is known when it is printed.
type lazy func() string

func (f lazy) String() string { return f() }

// say sends a chat message from p and waits until it stands in both logs.
func (p *page) say(to *page, text string) {
	p.t.Helper()
	p.openChat()
	to.openChat()
	p.fill("chat-input", text)
	p.click("chat-send")
	for _, q := range []*page{p, to} {
		own := q == p
		q.until(step, fmt.Sprintf(`[...document.querySelectorAll(%q)].some(li => li.textContent.includes(%q) && li.hasAttribute("data-own") === %v)`,
			testid("chat-log")+" li[data-off]", text, own), fmt.Sprintf("%q in the log, own: %v", text, own))
	}
}

// openChat opens the chat where it is closed.
func (p *page) openChat() {
	p.t.Helper()
	if !eval[bool](p, fmt.Sprintf(`document.querySelector(%q).checkVisibility()`, testid("chat-input"))) {
		p.click("toggle-chat")
	}
}

// explain logs what the page looks like, for a failed test.
func (p *page) explain() {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	text, err := p.tab.evaluate(ctx, `({view: {...document.documentElement.dataset}, error: document.querySelector('[data-testid="error"]')?.textContent, status: document.querySelector('[data-testid="status"]')?.textContent,
	  pcs: (window.probe?.pcs || []).map(pc => [pc.connectionState, pc.iceConnectionState, pc.signalingState])})`)
	p.t.Logf("%s: %s %v", p.name, text, err)
	if png, err := p.tab.screenshot(ctx); err == nil {
		p.save("failed-"+p.name, png)
	}
}

// save keeps a picture among the test's artifacts (go test -artifacts).
func (p *page) save(name string, png []byte) {
	path := p.t.ArtifactDir() + "/" + name + ".png"
	if err := os.WriteFile(path, png, 0o644); err != nil {
		p.t.Log(err)
	}
}

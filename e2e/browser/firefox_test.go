package browser_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/rondo-chat/rondo/internal/testenv"
)

// firefoxPreferences let calls work on one machine and keep Firefox to itself.
const firefoxPreferences = `
user_pref("media.navigator.streams.fake", true);
user_pref("media.navigator.permission.disabled", true);
user_pref("media.autoplay.default", 0);
user_pref("media.peerconnection.ice.loopback", true);
user_pref("media.peerconnection.ice.obfuscate_host_addresses", false);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("app.normandy.enabled", false);
user_pref("app.update.auto", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.safebrowsing.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("browser.startup.page", 0);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("dom.ipc.processPrelaunch.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.dns.disablePrefetch", true);
user_pref("services.settings.server", "data:,");
user_pref("toolkit.startup.max_resumed_crashes", -1);
user_pref("toolkit.telemetry.enabled", false);
`

// firefox is one Firefox process, driven by WebDriver BiDi.
type firefox struct {
	t    *testing.T
	ws   *websocket.Conn
	gone chan struct{} // closed when nothing more comes

	mu    sync.Mutex
	last  int
	calls map[int]chan<- bidiMessage
	pages map[string]*page // by browsing context
}

// bidiMessage is what Firefox says: an answer to a command, or an event.
type bidiMessage struct {
	Type    string          `json:"type"`
	ID      int             `json:"id"`
	Result  json.RawMessage `json:"result"`
	Error   string          `json:"error"`
	Message string          `json:"message"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

// newFirefox starts Firefox; it ends with the test. It trusts every certificate.
func newFirefox(t *testing.T) *firefox {
	t.Helper()
	path := testenv.Need(t, "firefox-esr", "firefox-esr", "firefox")
	home := t.TempDir()
	profile := filepath.Join(home, "profile")
	if err := os.Mkdir(profile, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(firefoxPreferences), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0", "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+home, "MOZ_CRASHREPORTER_DISABLE=1")
	process := testenv.Start(t, cmd)
	endpoint := regexp.MustCompile(`WebDriver BiDi listening on (ws://\S+)`)
	var found []string
	testenv.Eventually(t, media, func() bool {
		found = endpoint.FindStringSubmatch(process.Output())
		return found != nil || process.Exited()
	}, "Firefox listens")
	if found == nil {
		t.Fatalf("Firefox ended:\n%s", process.Output())
	}
	ws, _, err := websocket.DefaultDialer.Dial(found[1]+"/session", nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &firefox{t: t, ws: ws, gone: make(chan struct{}), calls: map[int]chan<- bidiMessage{}, pages: map[string]*page{}}
	go f.listen()
	t.Cleanup(func() {
		// It writes to its profile until the end.
		f.try("browser.close", struct{}{})
		_ = process.Wait(10 * time.Second)
		process.Kill()
		ws.Close()
		<-f.gone
	})
	f.must("session.new", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{"acceptInsecureCerts": true}}}, nil)
	f.must("session.subscribe", map[string]any{"events": []string{"log.entryAdded"}}, nil)
	return f
}

// listen takes what Firefox says, until it ends.
func (f *firefox) listen() {
	defer close(f.gone)
	for {
		var m bidiMessage
		if err := f.ws.ReadJSON(&m); err != nil {
			return
		}
		f.mu.Lock()
		answered := f.calls[m.ID]
		if m.Type != "event" {
			delete(f.calls, m.ID)
		}
		f.mu.Unlock()
		switch {
		case m.Method == "log.entryAdded":
			f.logged(m.Params)
		case m.Type != "event" && answered != nil:
			answered <- m
		}
	}
}

// logged keeps a line of a page's console.
func (f *firefox) logged(params json.RawMessage) {
	var e struct {
		Level, Text, Type string
		Source            struct{ Context string }
	}
	if json.Unmarshal(params, &e) != nil {
		return
	}
	f.mu.Lock()
	p := f.pages[e.Source.Context]
	f.mu.Unlock()
	if p == nil {
		return
	}
	c := &p.console
	c.mu.Lock()
	defer c.mu.Unlock()
	said := strings.HasPrefix(e.Text, "WebRTC: ") || strings.Contains(e.Text, "Content-Security-Policy") // by Firefox itself
	if e.Type == "javascript" && e.Level == "error" && !said {
		c.uncaught = append(c.uncaught, e.Text)
	} else {
		// The two browsers spell it differently.
		c.lines = append(c.lines, e.Level+": "+strings.ReplaceAll(e.Text, "Content-Security-Policy", "Content Security Policy"))
	}
}

// call sends a command and waits for the answer.
func (f *firefox) call(ctx context.Context, method string, params any) (json.RawMessage, error) {
	answered := make(chan bidiMessage, 1)
	f.mu.Lock()
	f.last++
	id := f.last
	f.calls[id] = answered
	err := f.ws.WriteJSON(map[string]any{"id": id, "method": method, "params": params})
	f.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	select {
	case m := <-answered:
		if m.Type == "error" {
			return nil, fmt.Errorf("%s: %s: %s", method, m.Error, m.Message)
		}
		return m.Result, nil
	case <-f.gone:
		return nil, fmt.Errorf("%s: Firefox is gone", method)
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// must is call into result, if that is not nil.
func (f *firefox) must(method string, params, result any) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), media)
	defer cancel()
	data, err := f.call(ctx, method, params)
	if err == nil && result != nil {
		err = json.Unmarshal(data, result)
	}
	if err != nil {
		f.t.Fatalf("firefox: %v", err)
	}
}

// try is call where nothing depends on it: Firefox may be gone.
func (f *firefox) try(method string, params any) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := f.call(ctx, method, params); err != nil {
		f.t.Logf("firefox: %v", err)
	}
}

// newPage opens an empty window: a person of their own. t is the test that it
// ends with.
func (f *firefox) newPage(t *testing.T, name string, o pageOptions) *page {
	t.Helper()
	var user struct{ UserContext string }
	f.must("browser.createUserContext", struct{}{}, &user)
	var made struct{ Context string }
	// A tab behind another one would be asleep.
	f.must("browsingContext.create", map[string]any{"type": "window", "userContext": user.UserContext}, &made)
	f.must("script.addPreloadScript", map[string]any{"functionDeclaration": "() => {\n" + o.script() + "\n}", "contexts": []string{made.Context}}, nil)
	p := &page{t: t, name: name, ctx: context.Background(), tab: firefoxTab{f, made.Context}}
	f.mu.Lock()
	f.pages[made.Context] = p
	f.mu.Unlock()
	t.Cleanup(func() {
		p.checkConsole()
		if t.Failed() {
			p.explain()
		}
		f.try("browser.removeUserContext", map[string]any{"userContext": user.UserContext})
	})
	return p
}

// firefoxTab is a window of Firefox.
type firefoxTab struct {
	f       *firefox
	context string
}

func (w firefoxTab) evaluate(ctx context.Context, expression string) (json.RawMessage, error) {
	data, err := w.f.call(ctx, "script.evaluate", map[string]any{
		"expression":   "Promise.resolve(" + expression + ").then(v => JSON.stringify(v) ?? 'null')",
		"target":       map[string]any{"context": w.context},
		"awaitPromise": true,
	})
	if err != nil {
		return nil, err
	}
	var got struct {
		Result           struct{ Value string }
		ExceptionDetails *struct{ Text string }
	}
	if err := json.Unmarshal(data, &got); err != nil {
		return nil, err
	}
	if got.ExceptionDetails != nil {
		return nil, errors.New(got.ExceptionDetails.Text)
	}
	return json.RawMessage(got.Result.Value), nil
}

func (w firefoxTab) navigate(ctx context.Context, url string) error {
	_, err := w.f.call(ctx, "browsingContext.navigate", map[string]any{"context": w.context, "url": url, "wait": "complete"})
	return err
}

func (w firefoxTab) click(ctx context.Context, selector string) error {
	if _, err := w.evaluate(ctx, fmt.Sprintf(`document.querySelector(%q).scrollIntoView({block: "center", behavior: "instant"})`, selector)); err != nil {
		return err
	}
	data, err := w.f.call(ctx, "browsingContext.locateNodes", map[string]any{
		"context": w.context, "locator": map[string]any{"type": "css", "value": selector}, "maxNodeCount": 1})
	if err != nil {
		return err
	}
	var found struct{ Nodes []struct{ SharedID string } }
	if err := json.Unmarshal(data, &found); err != nil {
		return err
	}
	if len(found.Nodes) == 0 {
		return fmt.Errorf("there is no %s", selector)
	}
	origin := map[string]any{"type": "element", "element": map[string]any{"sharedId": found.Nodes[0].SharedID}}
	return w.perform(ctx, map[string]any{"type": "pointer", "id": "mouse", "actions": []any{
		map[string]any{"type": "pointerMove", "x": 0, "y": 0, "origin": origin},
		map[string]any{"type": "pointerDown", "button": 0},
		map[string]any{"type": "pointerUp", "button": 0},
	}})
}

func (w firefoxTab) insert(ctx context.Context, text string) error {
	var keys []any
	for _, r := range text {
		for _, way := range []string{"keyDown", "keyUp"} {
			keys = append(keys, map[string]any{"type": way, "value": string(r)})
		}
	}
	return w.perform(ctx, map[string]any{"type": "key", "id": "keyboard", "actions": keys})
}

func (w firefoxTab) perform(ctx context.Context, source map[string]any) error {
	_, err := w.f.call(ctx, "input.performActions", map[string]any{"context": w.context, "actions": []any{source}})
	return err
}

func (w firefoxTab) screenshot(ctx context.Context) ([]byte, error) {
	data, err := w.f.call(ctx, "browsingContext.captureScreenshot", map[string]any{"context": w.context})
	if err != nil {
		return nil, err
	}
	var shot struct{ Data string }
	err = json.Unmarshal(data, &shot)
	png, bad := base64.StdEncoding.DecodeString(shot.Data)
	return png, cmp.Or(err, bad)
}

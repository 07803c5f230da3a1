package browser_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	cdbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/chromedp"
)

// pushService plays the part of the browser's push service, which is out of reach here: it gives endpoints, and forgets them.
const pushService = `(() => {
	let now = null;
	const key = (b) => btoa(String.fromCharCode(...b)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
	PushManager.prototype.getSubscription = async () => now;
	PushManager.prototype.subscribe = async (o) => {
		const pair = await crypto.subtle.generateKey({name: "ECDH", namedCurve: "P-256"}, false, ["deriveBits"]);
		const p256dh = key(new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)));
		const raw = Uint8Array.from(atob(o.applicationServerKey.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
		const endpoint = "https://push.example/" + crypto.randomUUID();
		now = {endpoint, options: {applicationServerKey: raw.buffer}, toJSON: () => ({endpoint, expirationTime: null, keys: {p256dh, auth: key(new Uint8Array(16))}}), unsubscribe: async () => { now = null; return true; }};
		return now;
	};
	return true;
})()`

// mayNotify answers the browser's question whether the site may show notifications.
func (p *page) mayNotify() {
	p.t.Helper()
	p.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		c := chromedp.FromContext(ctx)
		_, err := cdp.Call(ctx, c.Browser, cdbrowser.SetPermission, cdbrowser.SetPermissionParams{
			Permission: &cdbrowser.PermissionDescriptor{Name: "notifications"}, Setting: cdbrowser.PermissionSettingGranted, BrowserContextID: c.BrowserContextID,
		})
		return err
	}))
}

// pushed has the browser deliver what a push service would.
func (p *page) pushed(url string, note map[string]string) {
	p.t.Helper()
	found := make(chan serviceworker.RegistrationID, 16)
	err := chromedp.Listen(p.ctx, func(ev any) {
		if ev, ok := ev.(*serviceworker.EventWorkerRegistrationUpdated); ok {
			for _, r := range ev.Registrations {
				select {
				case found <- r.RegistrationID:
				default:
				}
			}
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	data, _ := json.Marshal(note) // strings
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, serviceworker.Enable, cdp.Empty{}); err != nil {
			return err
		}
		select {
		case id := <-found:
			_, err := cdp.Call(ctx, t, serviceworker.DeliverPushMessage, serviceworker.DeliverPushMessageParams{Origin: url, RegistrationID: id, Data: string(data)})
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}))
}

// TestNotify: switched on by a click, under the page's own policy; the server knows the browser; what is pushed is shown; and switched off.
func TestNotify(t *testing.T) {
	node, sink := accountNode(t)
	people{t, node, sink}.register("ann")
	p := newBrowser(t, browserOptions{}).newPage("ann", pageOptions{})
	p.mayNotify()
	p.comes("ann", node.URL())
	eval[bool](p, pushService)
	p.click("account")
	p.click("tab-devices")
	const devices = `fetch("/api/v1/me/push").then(r => r.json()).then(l => l.devices.map(d => d.service).join(" "))`
	p.until(step, `(e => e.checkVisibility() && !e.querySelector("input").checked)(document.querySelector("#notify-part"))`, "it is off")
	if got := eval[string](p, devices); got != "" {
		t.Errorf("before it is switched on: %s", got)
	}
	eval[bool](p, `(document.querySelector("#notify").click(), true)`)
	p.until(step, devices+`.then(s => s === "push.example")`, "the server knows the browser")
	p.until(step, `document.querySelector("#notify").checked`, "it is on")
	if got := eval[string](p, `navigator.serviceWorker.ready.then(r => r.active.scriptURL + " " + r.scope)`); got != node.URL()+"/sw.js "+node.URL()+"/" {
		t.Errorf("the worker is %s", got)
	}

	room := "c_" + strings.Repeat("a", 26)
	p.pushed(node.URL(), map[string]string{"room": room, "title": "Bob <b>", "body": "Hello", "url": "/c/" + room})
	p.until(step, `navigator.serviceWorker.ready.then(r => r.getNotifications()).then(l => l.map(n => [n.title, n.body, n.tag, n.data.url].join("|")).join() === "Bob <b>|Hello|`+room+`|/c/`+room+`")`,
		"the notification is shown")

	eval[bool](p, `(document.querySelector("#notify").click(), true)`)
	p.until(step, devices+`.then(s => s === "")`, "the server has forgotten the browser")
	p.until(step, `!document.querySelector("#notify").checked`, "it is off again")
}

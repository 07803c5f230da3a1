package browser_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rondo-chat/rondo/internal/testenv"
)

// dialogLook is one state of the accounts' dialogs: how to get there from the
// one before, and what must be in it.
type dialogLook struct {
	name  string
	reach func(p *page, sink *testenv.SMTPServer)
	seen  []string // data-testids
}

// dialogLooks are in the order of a life: of who signs up, secures the account,
// comes back, forgets the password, and goes.
func dialogLooks() []dialogLook {
	var app *authenticator
	visible := func(p *page, id string) {
		p.t.Helper()
		p.until(step, fmt.Sprintf(`document.querySelector(%q)?.checkVisibility()`, testid(id)), id+" is seen")
	}
	return []dialogLook{
		{"log in", func(p *page, _ *testenv.SMTPServer) { p.click("account") }, []string{"login-name", "login-password", "login-submit", "to-signup", "to-forgot"}},
		{"log in, wrong", func(p *page, _ *testenv.SMTPServer) {
			p.fill("login-name", "nobody")
			p.fill("login-password", "something else")
			p.click("login-submit")
			p.until(step, `document.querySelector("#login-error").checkVisibility()`, "it says so")
		}, []string{"login-name", "login-password", "login-submit"}},
		{"sign up", func(p *page, _ *testenv.SMTPServer) { p.click("to-signup") }, []string{"signup-email", "signup-username", "signup-password", "signup-submit"}},
		{"code", func(p *page, _ *testenv.SMTPServer) {
			p.fill("signup-email", annMail)
			p.fill("signup-username", "ann_shirley")
			p.fill("signup-password", annPassword)
			p.click("signup-submit")
			visible(p, "mail-code")
		}, []string{"mail-code", "code-submit", "code-again"}},
		{"profile", func(p *page, sink *testenv.SMTPServer) {
			p.fill("mail-code", sink.MailTo(p.t, annMail, 1).Code(p.t))
			p.account("in")
			p.click("account")
			p.choosePicture(photo(p.t))
			p.fill("profile-interests", "jazz, long walks by the sea, cooking, football,")
		}, []string{"profile-face", "picture-choose", "picture-remove", "profile-name", "profile-interests", "profile-languages", "logout", "profile-save"}},
		{"devices", func(p *page, _ *testenv.SMTPServer) {
			p.click("tab-devices")
			visible(p, "device")
		}, []string{"device", "device-rename", "logout-all"}},
		{"security", func(p *page, _ *testenv.SMTPServer) { p.click("tab-security") }, []string{"totp-on", "password-now", "password-new", "password-save"}},
		{"confirm", func(p *page, _ *testenv.SMTPServer) { p.click("totp-on") }, []string{"confirm-password", "confirm-submit"}},
		{"authenticator", func(p *page, _ *testenv.SMTPServer) {
			p.fill("confirm-password", annPassword)
			p.click("confirm-submit")
			p.until(step, `document.querySelector('[data-testid="totp-qr"] svg')`, "the QR code")
			app = newAuthenticator(p.t, eval[string](p, `document.querySelector('[data-testid="totp-secret"]').textContent`))
		}, []string{"totp-qr", "totp-secret", "totp-code", "totp-confirm"}},
		{"recovery codes", func(p *page, _ *testenv.SMTPServer) {
			p.fill("totp-code", app.code())
			visible(p, "recovery-list")
		}, []string{"recovery-list", "recovery-copy", "recovery-save", "recovery-done"}},
		{"data", func(p *page, _ *testenv.SMTPServer) {
			p.click("recovery-done")
			p.click("tab-data")
		}, []string{"export", "deactivate", "delete"}},
		{"delete", func(p *page, _ *testenv.SMTPServer) { p.click("delete") }, []string{"confirm-password", "confirm-code", "confirm-submit"}},
		{"second step", func(p *page, _ *testenv.SMTPServer) {
			p.closeDialog("confirm-dialog")
			p.escapesBoth()
			p.click("tab-profile")
			p.click("logout")
			p.account("out")
			p.click("account")
			p.empty("login-name")
			p.fill("login-name", "ann_shirley")
			p.fill("login-password", annPassword)
			p.click("login-submit")
			visible(p, "second-code")
		}, []string{"second-code", "second-submit", "second-other"}},
		{"forgot", func(p *page, _ *testenv.SMTPServer) {
			p.closeDialog("sign-dialog")
			p.click("account")
			p.click("to-forgot")
		}, []string{"forgot-email", "forgot-submit"}},
		{"reset", func(p *page, _ *testenv.SMTPServer) {
			p.fill("forgot-email", annMail)
			p.click("forgot-submit")
			visible(p, "reset-code")
		}, []string{"reset-code", "reset-password", "reset-submit", "reset-again"}},
	}
}

// TestDialogs: every state of the accounts' dialogs, on three sizes in light and
// dark: all of it can be reached, nothing is cut off or scrolls sideways, and
// axe finds nothing to complain of. The keyboard goes through each in the order
// in which it is read, and Escape leads back to where one came from.
func TestDialogs(t *testing.T) {
	axe := axeScript(t)
	n, sink := accountNode(t)
	p := newBrowser(t, browserOptions{}).newPage("Ann", pageOptions{})
	p.ready(n.URL())
	for _, l := range dialogLooks() {
		p.window(1280, 800, false)
		l.reach(p, sink)
		p.tabOrder(l.name)
		for _, dark := range []bool{false, true} {
			for _, size := range [][2]int64{{1280, 800}, {390, 844}, {360, 640}} {
				name := fmt.Sprintf("%s %dx%d%s", l.name, size[0], size[1], map[bool]string{true: " dark"}[dark])
				p.window(size[0], size[1], dark)
				p.still()
				p.look(strings.ReplaceAll(name, " ", "-"))
				p.checkDialog(name, l.seen)
				if size[0] == map[bool]int64{false: 1280, true: 360}[dark] {
					p.axe(axe, name, "dialog:modal")
				}
			}
		}
	}
	p.window(1280, 800, false)
	p.escapes()
	p.topFits()
}

// window sets the window's size and its colours.
func (p *page) window(width, height int64, dark bool) {
	p.t.Helper()
	scheme := map[bool]string{true: "dark", false: "light"}[dark]
	p.do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		return err
	}))
}

// checkDialog checks that the dialog on top lies in the window, that all of seen
// can be scrolled to in it, that nothing in it is cut off, and that what can be
// pressed is large enough for a finger.
func (p *page) checkDialog(name string, seen []string) {
	p.t.Helper()
	wrong := eval[[]string](p, fmt.Sprintf(`(() => {
		const wrong = [], dialog = [...document.querySelectorAll("dialog:modal")].at(-1);
		if (!dialog) return ["there is no dialog"];
		const id = (e) => e.dataset.testid || e.id || e.tagName + " " + e.textContent.slice(0, 30);
		const box = dialog.getBoundingClientRect();
		if (box.left < 0 || box.top < 0 || box.right > innerWidth || box.bottom > innerHeight) wrong.push("the dialog lies outside: " + JSON.stringify(box));
		if (document.documentElement.scrollWidth > innerWidth) wrong.push("the page scrolls sideways");
		if (dialog.scrollWidth > dialog.clientWidth) wrong.push("the dialog scrolls sideways: " + dialog.scrollWidth + " in " + dialog.clientWidth);
		for (const want of %q.split(" ")) {
			const e = dialog.querySelector('[data-testid="' + want + '"]');
			if (!e?.checkVisibility()) { wrong.push(want + " is not seen"); continue; }
			e.scrollIntoView({block: "center"});
			const r = e.getBoundingClientRect(), top = document.elementFromPoint(r.x + r.width / 2, Math.min(r.y + r.height / 2, innerHeight - 1));
			if (!top || !(e.contains(top) || top.contains(e))) wrong.push(want + " lies under " + (top ? id(top) : "nothing"));
		}
		for (const e of dialog.querySelectorAll("*")) {
			if (!(e instanceof HTMLElement) || !e.checkVisibility() || e.closest(".hush")) continue;
			const r = e.getBoundingClientRect(), style = getComputedStyle(e);
			if (r.width && (r.left < box.left - 0.5 || r.right > box.right + 0.5)) wrong.push(id(e) + " sticks out");
			if (!e.closest(".chips") && /^(BUTTON|A|P|H2|H3|LABEL|CODE|B|SMALL|LI)$/.test(e.tagName) && style.textOverflow !== "ellipsis" && style.display !== "inline" && e.scrollWidth > e.clientWidth + 1) wrong.push(id(e) + " is cut off: " + e.scrollWidth + " in " + e.clientWidth);
			const tall = e.matches("button, input:not([type=checkbox]), select") && !e.closest(".chips");
			if (tall && (r.height < 43.5 || r.width < 43.5)) wrong.push(id(e) + " is small: " + r.width + "x" + r.height);
		}
		dialog.scrollTop = 0;
		return wrong;
	})()`, strings.Join(seen, " ")))
	for _, w := range wrong {
		p.t.Errorf("%s: %s", name, w)
	}
}

// tabOrder goes once through the dialog on top by Tab: every control comes once, in
// the order in which they are read, and shows that it has the focus; the focus
// was in the dialog before.
func (p *page) tabOrder(name string) {
	p.t.Helper()
	start := eval[struct {
		Inside bool
		Count  int
	}](p, `(() => {
		const dialog = [...document.querySelectorAll("dialog:modal")].at(-1);
		window.stops = [...dialog.querySelectorAll("a[href], button, input, select, textarea, [tabindex]")].filter(e => e.checkVisibility() && !e.disabled && e.tabIndex >= 0);
		const Inside = dialog.contains(document.activeElement);
		window.stops[0].focus();
		return {Inside, Count: window.stops.length};
	})()`)
	if !start.Inside {
		p.t.Errorf("%s: the focus is not in the dialog", name)
	}
	for i := range start.Count {
		at := eval[string](p, fmt.Sprintf(`(() => {
			const want = window.stops[%d], e = document.activeElement, before = window.stops[%d - 1];
			const id = (e) => e ? e.dataset.testid || e.id || e.tagName + " " + (e.ariaLabel || e.textContent) : "nothing";
			if (e !== want) return id(e) + " has the focus instead of " + id(want);
			const r = e.getBoundingClientRect(), b = before?.getBoundingClientRect();
			if (b && r.bottom <= b.top && !before.closest(".dialog-head")) return id(e) + " comes after " + id(before) + " and lies above it";
			if (before && getComputedStyle(e).outlineStyle === "none" && !e.closest(".chips, .switch")) return id(e) + " does not show its focus";
			return "";
		})()`, i, i))
		if at != "" {
			p.t.Errorf("%s: stop %d: %s", name, i+1, at)
			return
		}
		p.do(chromedp.KeyEvent(kb.Tab))
	}
}

// escapes: Escape closes a dialog, also one over another, and the focus goes back
// to what opened it. The dialog waits for the
// code of a mail, and does so again when it is opened anew.
func (p *page) escapes() {
	p.t.Helper()
	p.do(chromedp.KeyEvent(kb.Escape))
	p.focused("account", "after the dialog")
	p.do(chromedp.KeyEvent(kb.Enter))
	p.focused("reset-code", "in the dialog that Enter opened")
	edge := eval[[]float64](p, `(() => { const r = document.querySelector('[data-testid="sign-dialog"]').getBoundingClientRect(); return [r.left + 8, r.bottom - 8]; })()`)
	p.do(chromedp.MouseClickXY(edge[0], edge[1])) // on its edge: it stays
	p.do(chromedp.Click(chromedp.CSS(testid("reset-code")), chromedp.NodeVisible))
	p.focused("reset-code", "in the dialog that Enter opened")
	p.do(chromedp.KeyEvent(kb.Escape))
	p.focused("account", "after the dialog, again")
}

// escapesBoth is escapes for the question over the own account's dialog.
func (p *page) escapesBoth() {
	p.t.Helper()
	p.click("tab-data")
	p.click("deactivate")
	p.focused("confirm-password", "in the question")
	p.do(chromedp.KeyEvent(kb.Escape))
	p.focused("deactivate", "after the question")
	p.do(chromedp.KeyEvent(kb.Escape))
	p.focused("account", "after the account's dialog")
	p.click("account")
}

// focused waits until an element has the focus, and no dialog is open over it.
func (p *page) focused(id, when string) {
	p.t.Helper()
	p.until(step, fmt.Sprintf(`(() => { const e = document.querySelector(%q); return document.activeElement === e && ([...document.querySelectorAll("dialog:modal")].at(-1)?.contains(e) ?? true); })()`, testid(id)), id+" has the focus "+when)
}

// topFits: who is logged in has a name in the page's top, and the smallest phone
// still has room for all that is there.
func (p *page) topFits() {
	p.t.Helper()
	p.do(chromedp.Reload())
	p.account("out")
	for _, name := range []string{"Log in", strings.Repeat("Wolfeschlegel ", 5)} {
		p.window(360, 640, false)
		last := eval[float64](p, fmt.Sprintf(`(() => {
			document.querySelector("#account-words").textContent = %q;
			document.querySelector("#account-face").hidden = false;
			return Math.max(...[...document.querySelectorAll(".top button, .top a")].map(e => e.getBoundingClientRect().right));
		})()`, name))
		if last > 360 {
			p.t.Errorf("with %q in the top its last button ends at %v of 360", name, last)
		}
	}
}

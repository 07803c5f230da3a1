package browser_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"

	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// mailFlags starts a mail server, and returns it and the flags of who uses it.
func mailFlags(t *testing.T) (*testenv.SMTPServer, []string) {
	t.Helper()
	dir, sink := t.TempDir(), testenv.SMTP(t, testenv.SMTPStartTLS)
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return sink, []string{
		"--smtp", sink.Addr, "--smtp-user", sink.Username, "--smtp-password-file", file("password", sink.Password),
		"--smtp-ca", file("ca.pem", string(sink.CA)), "--smtp-from", "Rondo <rondo@example.org>",
	}
}

// accountNode starts a node with accounts, and the mail server that it uses.
func accountNode(t *testing.T) (*lab.Node, *testenv.SMTPServer) {
	t.Helper()
	sink, flags := mailFlags(t)
	return lab.Start(t, lab.Options{Args: append(flags, "--database", "sqlite:"+filepath.Join(t.TempDir(), "rondo.db"))}), sink
}

const (
	annMail     = "ann@example.org"
	annPassword = "correct horse battery staple"
)

// signUp goes through the open dialog, up to the code of the mail.
func (p *page) signUp(sink *testenv.SMTPServer) {
	p.t.Helper()
	p.fill("signup-email", annMail)
	p.fill("signup-username", "ann_shirley")
	p.fill("signup-password", annPassword)
	p.click("signup-submit")
	p.until(step, `document.querySelector('[data-testid="mail-code"]').checkVisibility()`, "the code is asked for")
	code := sink.MailTo(p.t, annMail, 1).Code(p.t)
	p.fill("mail-code", code[:4]+" "+code[4:]) // goes by itself
	p.account("in")
}

// logIn logs in. code is for the second step, "" for none: that of an
// authenticator, or a recovery code.
func (p *page) logIn(password, code string) {
	p.t.Helper()
	p.click("account")
	p.empty("login-name") // the page may remember it
	p.fill("login-name", "ann_shirley")
	p.fill("login-password", password)
	p.click("login-submit")
	if code != "" {
		if len(code) != 6 {
			p.click("second-other")
		}
		p.fill("second-code", code)
		p.click("second-submit")
	}
	p.account("in")
}

// account waits until somebody is logged in, or nobody.
func (p *page) account(state string) {
	p.t.Helper()
	p.until(step, fmt.Sprintf(`document.documentElement.dataset.account === %q && (%q !== "in" || window.rondo.user?.guest === false)`, state, state), "account: "+state)
}

// empty takes what stands in an input away.
func (p *page) empty(id string) {
	p.t.Helper()
	eval[string](p, fmt.Sprintf(`(document.querySelector(%q).value = "")`, testid(id)))
}

// sees waits until an element shows the text.
func (p *page) sees(id, text string) {
	p.t.Helper()
	p.until(step, fmt.Sprintf(`document.querySelector(%q)?.textContent.includes(%q)`, testid(id), text), id+" shows "+text)
}

// authenticator is an app on a phone that knows the secret (RFC 6238).
type authenticator struct {
	t    *testing.T
	key  []byte
	last int64 // step that a code was taken of
}

func newAuthenticator(t *testing.T, secret string) *authenticator {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(secret, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return &authenticator{t: t, key: key}
}

// code returns one that was not taken yet: no code serves twice, and that of the
// next step, half a minute early, does.
func (a *authenticator) code() string {
	a.last = max(time.Now().Unix()/30, a.last+1)
	mac := hmac.New(sha1.New, a.key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(a.last)))
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
}

// TestAccountInCall: on two nodes with Redis and PostgreSQL a guest registers in
// the middle of a call and stays in it, sets an authenticator up, logs out and in
// again, logs in on a phone at the other node, and is logged out from there.
func TestAccountInCall(t *testing.T) {
	sink, flags := mailFlags(t)
	nodes := lab.Pair(t, testenv.Redis(t).URL, append(flags, "--database", testenv.Postgres(t))...)
	b := newBrowser(t, browserOptions{})
	ann, bo := b.newPage("Ann", pageOptions{}), b.newPage("Bo", pageOptions{})
	for i, p := range []*page{ann, bo} {
		p.ready(nodes[i].URL())
		p.start()
	}
	room := ann.inCall("")
	before := ann.watching()
	guest := eval[string](ann, `rondo.user.id`)

	ann.click("call-account")
	ann.signUp(sink)
	if got := eval[string](ann, `rondo.user.id`); got != guest {
		t.Errorf("the guest %s became %s: another one", guest, got)
	}
	bo.sees("remote-name", "ann_shirley")
	ann.click("call-account")
	ann.empty("profile-name")
	ann.fill("profile-name", "Ann <b>Shirley</b>")
	ann.click("profile-save")
	bo.sees("remote-name", "Ann <b>Shirley</b>")
	ann.pictureIsSeenBy(bo)

	app, codes := ann.secondStep()
	ann.closeDialog("account-dialog")
	if after := ann.watching(); after.Ufrag != before.Ufrag {
		t.Errorf("the connection was made anew: %+v, before %+v", after, before)
	}
	bo.watching()
	if ann.room() != room || bo.room() != room {
		t.Errorf("the call moved from %s to %s and %s", room, ann.room(), bo.room())
	}
	ann.say(bo, "still here")
	ann.click("stop")
	bo.click("stop")

	ann.click("account")
	ann.click("logout")
	ann.account("out")
	ann.until(step, fmt.Sprintf(`rondo.user?.guest === true && rondo.user.id !== %q`, guest), "a new guest")
	ann.logIn(annPassword, codes[0])
	if got := eval[string](ann, `rondo.user.id`); got != guest {
		t.Errorf("after logging in %s is %s", guest, got)
	}
	ann.do(chromedp.Reload())
	ann.account("in")

	phone := newBrowser(t, browserOptions{}).newPage("Ann's phone", pageOptions{phone: true})
	phone.ready(nodes[1].URL())
	phone.logIn(annPassword, app.code())
	ann.revokedBy(phone)
}

// secondStep sets an authenticator up and returns it and the recovery codes.
func (p *page) secondStep() (*authenticator, []string) {
	p.t.Helper()
	p.click("tab-security")
	p.click("totp-on")
	p.fill("confirm-password", annPassword)
	p.click("confirm-submit")
	p.until(step, `document.querySelector('[data-testid="totp-qr"] svg') && document.querySelector('[data-testid="totp-link"]').href.startsWith("otpauth://totp/")`, "the QR code")
	app := newAuthenticator(p.t, eval[string](p, `document.querySelector('[data-testid="totp-secret"]').textContent`))
	p.fill("totp-code", app.code()) // goes by itself
	p.until(step, `document.querySelector('[data-testid="recovery-list"]').checkVisibility()`, "the recovery codes")
	codes := eval[[]string](p, `[...document.querySelectorAll('[data-testid="recovery-list"] li')].map(li => li.textContent)`)
	if len(codes) < 3 {
		p.t.Fatalf("recovery codes: %v", codes)
	}
	p.click("recovery-done")
	p.sees("totp-words", "On.")
	return app, codes
}

// closeDialog closes one as its button does.
func (p *page) closeDialog(id string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(testid(id)+" [data-close]"), chromedp.NodeVisible))
}

// photo makes a file of a picture that is neither square nor small, green in the
// middle and red at both ends.
func photo(t *testing.T) string {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 1600, 800))
	for y := range 800 {
		for x := range 1600 {
			c := color.RGBA{R: 10, G: 160, B: 90, A: 255}
			if x < 400 || x >= 1200 {
				c = color.RGBA{R: 220, A: 255}
			}
			img.Set(x, y, c)
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "photo.png")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// choosePicture gives the profile that is open a picture.
func (p *page) choosePicture(path string) {
	p.t.Helper()
	p.do(chromedp.SetUploadFiles(chromedp.CSS(testid("picture-file")), []string{path}, chromedp.NodeReady))
	p.until(step, `document.querySelector('[data-testid="profile-face"] img')?.naturalWidth > 0`, "the picture in the profile")
}

// pictureIsSeenBy: a picture that is chosen in the middle of a call is cut and made
// small, and the other one sees it in the chat, and in the tile once the camera
// is off; one that is taken away is gone there too. The profile is open.
func (p *page) pictureIsSeenBy(other *page) {
	p.t.Helper()
	p.choosePicture(photo(p.t))
	kept := eval[struct {
		Bytes, Width, Height int
		Edge                 []int // a pixel at the left edge
	}](p, `(async () => {
		const img = document.querySelector('[data-testid="profile-face"] img');
		await img.decode();
		const canvas = document.createElement("canvas");
		canvas.width = img.naturalWidth, canvas.height = img.naturalHeight;
		canvas.getContext("2d").drawImage(img, 0, 0);
		return {Bytes: img.src.length, Width: img.naturalWidth, Height: img.naturalHeight, Edge: [...canvas.getContext("2d").getImageData(2, 100, 1, 1).data]};
	})()`)
	if kept.Bytes > 100_000 || kept.Width != kept.Height || kept.Width > 400 || kept.Edge[0] > 80 || kept.Edge[1] < 100 {
		p.t.Errorf("the picture is kept as %+v", kept)
	}
	const face = `document.querySelector('[data-testid="remote-face"] img')`
	other.until(step, face+`?.naturalWidth > 0 && `+face+`.checkVisibility()`, "the picture in the chat")
	p.closeDialog("account-dialog")
	p.click("toggle-camera")
	other.until(step, `(() => { const i = document.querySelector('.tile.no-video .avatar img'); return i && i.checkVisibility() && i.naturalWidth > 0 && i.src === `+face+`.src; })()`, "the picture in the tile")
	other.look("partner-with-picture")
	p.click("toggle-camera")
	p.click("call-account")
	p.click("picture-remove")
	other.until(step, `!document.querySelector('[data-testid="remote-face"] img, .avatar img')`, "no picture any more")
	p.sees("profile-face", "A")
}

// look keeps a picture of what p sees among the artifacts.
func (p *page) look(name string) {
	if shot, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot()); err == nil {
		p.save(name, shot)
	}
}

// revokedBy logs p out by another device of the account, at another node: its
// socket closes within 2 s, the page says what happened and goes on as a guest.
func (p *page) revokedBy(other *page) {
	p.t.Helper()
	eval[bool](p, `(rondo.on("connection", e => { if (e.status === "closed") window.closedAt ??= Date.now(); }), true)`)
	other.click("account")
	other.click("tab-devices")
	mine := `[data-testid="device"]:not([data-current]) [data-testid="device-revoke"]`
	other.until(step, fmt.Sprintf(`document.querySelectorAll(%q).length === 1`, mine), "one other device")
	eval[bool](other, fmt.Sprintf(`(document.querySelector(%q).addEventListener("click", () => { window.askedAt = Date.now(); }, true), true)`, mine))
	other.do(chromedp.Click(chromedp.CSS(mine), chromedp.NodeVisible))
	p.account("out")
	p.sees("error", "You were logged out")
	p.look("logged-out-from-elsewhere")
	took := time.Duration(eval[float64](p, `window.closedAt`)-eval[float64](other, `window.askedAt`)) * time.Millisecond
	p.t.Logf("the socket closed %v after the click", took)
	if took < 0 || took >= 2*time.Second {
		p.t.Errorf("the socket closed %v after the click", took)
	}
	p.until(step, `rondo.status === "open" && rondo.user?.guest === true`, "on as a guest")
	if status := eval[int](p, `fetch("/api/v1/me").then(r => r.status)`); status != 401 {
		p.t.Errorf("what the first browser still has of its account opens %d", status)
	}
	other.until(step, fmt.Sprintf(`document.querySelectorAll(%q).length === 0`, testid("device")+":not([data-current])"), "the device is off the list")
	other.account("in")
}

// TestTwoTabsRefresh: two tabs of one browser that renew their tokens at the same
// time, again and again, also without asking each other, log nobody out.
func TestTwoTabsRefresh(t *testing.T) {
	n, sink := accountNode(t)
	first := newBrowser(t, browserOptions{}).newPage("first tab", pageOptions{})
	first.ready(n.URL())
	first.click("account")
	first.click("to-signup")
	first.signUp(sink)
	second := first.newTab("second tab", pageOptions{})
	second.ready(n.URL())
	second.account("in")
	const rounds = 50
	for _, tab := range []*page{first, second} {
		eval[bool](tab, fmt.Sprintf(`(() => {
			window.outs = 0;
			new MutationObserver(() => { if (document.documentElement.dataset.account !== "in") window.outs++; }).observe(document.documentElement, {attributeFilter: ["data-account"]});
			// The tokens serve all tabs, so both start at the same moment: the next even second.
			const start = new Promise(go => setTimeout(go, 2000 - Date.now() %% 2000));
			const refresh = async () => (await fetch("/api/v1/auth/refresh", {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"})).status;
			window.refreshed = start.then(async () => {
				const {Account} = await import("/sdk/rondo.js");
				const account = new Account(), wrong = [];
				for (let i = 0; i < %d; i++) {
					await account.renew().catch(err => wrong.push(err.code)); // in turns
					const status = await refresh(); // against each other
					if (status !== 200) wrong.push(status);
				}
				return wrong;
			});
			return true;
		})()`, rounds))
	}
	for _, tab := range []*page{first, second} {
		tab.until(media, `window.refreshed`, "all rounds")
		if wrong := eval[[]any](tab, `window.refreshed`); len(wrong) > 0 {
			t.Errorf("%s: %d of %d refreshes: %v", tab.name, len(wrong), 2*rounds, wrong)
		}
		if outs := eval[int](tab, `window.outs`); outs > 0 {
			t.Errorf("%s: logged out %d times", tab.name, outs)
		}
	}
	for _, tab := range []*page{first, second} {
		tab.account("in")
		tab.do(chromedp.Reload())
		tab.account("in")
	}
}

// TestAccountComesAndGoes: a forgotten password, the profile's fields, the export,
// and the end of the account, on a phone.
func TestAccountComesAndGoes(t *testing.T) {
	n, sink := accountNode(t)
	b := newBrowser(t, browserOptions{})
	ann := b.newPage("Ann", pageOptions{phone: true})
	ann.ready(n.URL())
	ann.click("account")
	ann.click("to-signup")
	ann.signUp(sink)
	ann.sees("as-user", "ann_shirley")

	ann.click("account")
	ann.fill("profile-interests", "jazz, cooking,")
	ann.click("profile-save")
	ann.sees("account-dialog", "Saved")
	ann.chips("tag-chip", "jazz,cooking") // the search begins with them
	ann.click("logout")
	ann.account("out")
	ann.chips("tag-chip", "")

	ann.click("account")
	ann.click("to-forgot")
	ann.fill("forgot-email", annMail)
	ann.click("forgot-submit")
	ann.until(step, `document.querySelector('[data-testid="reset-code"]').checkVisibility()`, "the code is asked for")
	ann.fill("reset-code", sink.MailTo(t, annMail, 2).Code(t))
	ann.fill("reset-password", "another "+annPassword)
	ann.click("reset-submit")
	ann.account("in") // with the new password, at once

	ann.click("account")
	ann.chips("interest-chip", "jazz,cooking")
	ann.choosePicture(photo(t))
	ann.exports("jazz", annMail, "data:image/jpeg;base64,")
	ann.rests()
	ann.click("account")
	ann.click("tab-data")
	ann.click("delete")
	ann.fill("confirm-password", annPassword)
	ann.click("confirm-submit")
	ann.sees("confirm-error", "no way back")
	eval[bool](ann, `(document.querySelector('[data-testid="confirm-sure"]').click(), true)`)
	ann.click("confirm-submit")
	ann.sees("confirm-error", "password is wrong")
	ann.empty("confirm-password")
	ann.fill("confirm-password", "another "+annPassword)
	ann.click("confirm-submit")
	ann.account("out")

	ann.click("account")
	ann.fill("login-name", "ann_shirley")
	ann.fill("login-password", "another "+annPassword)
	ann.click("login-submit")
	ann.until(step, `document.querySelector("#login-error").checkVisibility()`, "nobody has that name any more")
}

// chips waits until the chips of a kind are these.
func (p *page) chips(id, list string) {
	p.t.Helper()
	p.until(step, fmt.Sprintf(`[...document.querySelectorAll(%q)].map(c => c.dataset.value).join() === %q`, testid(id), list), id+"s: "+list)
}

// exports downloads all that is stored; the texts must be in it.
func (p *page) exports(texts ...string) {
	p.t.Helper()
	dir := p.t.TempDir()
	p.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		c := chromedp.FromContext(ctx)
		_, err := cdp.Call(ctx, c.Browser, cdbrowser.SetDownloadBehavior, cdbrowser.SetDownloadBehaviorParams{
			Behavior: cdbrowser.SetDownloadBehaviorBehaviorAllow, BrowserContextID: c.BrowserContextID, DownloadPath: dir,
		})
		return err
	}))
	p.click("tab-data")
	p.click("export")
	var export []byte
	testenv.Eventually(p.t, step, func() bool {
		var err error
		export, err = os.ReadFile(filepath.Join(dir, "rondo-export.json"))
		return err == nil && json.Valid(export)
	}, "%s: the export is in the downloads", p.name)
	for _, text := range texts {
		if !strings.Contains(string(export), text) {
			p.t.Errorf("the export has no %q: %.400s", text, export)
		}
	}
	p.sees("account-dialog", "Saved")
}

// rests puts the account to rest, and wakes it by logging in.
func (p *page) rests() {
	p.t.Helper()
	p.click("deactivate")
	p.fill("confirm-password", "another "+annPassword)
	p.click("confirm-submit")
	p.account("out")
	p.sees("status", "Your account rests")
	p.logIn("another "+annPassword, "")
}

// TestWithoutAccounts: where the server has none the page shows nothing of them,
// and asks for nothing.
func TestWithoutAccounts(t *testing.T) {
	n := lab.Start(t, lab.Options{Args: []string{"--accounts=false"}})
	ann := newBrowser(t, browserOptions{}).newPage("Ann", pageOptions{})
	ann.ready(n.URL())
	ann.until(step, `document.documentElement.dataset.account === "off"`, "no accounts")
	if got := eval[int](ann, `[...document.querySelectorAll('[data-testid="account"], [data-testid="call-account"], [data-testid="as-user"]')].filter(e => e.checkVisibility()).length`); got != 0 {
		t.Errorf("%d elements of accounts are shown", got)
	}
	if got := eval[int](ann, `performance.getEntriesByType("resource").filter(e => e.name.includes("/api/")).length`); got != 0 {
		t.Errorf("%d requests for accounts", got)
	}
}

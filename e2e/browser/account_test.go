package browser_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// accountNode starts a node with accounts, and the mail server that it uses.
func accountNode(t *testing.T) (*lab.Node, *testenv.SMTPServer) {
	t.Helper()
	dir, sink := t.TempDir(), testenv.SMTP(t, testenv.SMTPStartTLS)
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return lab.Start(t, lab.Options{Args: []string{
		"--database", "sqlite:" + filepath.Join(dir, "rondo.db"), "--smtp", sink.Addr, "--smtp-user", sink.Username,
		"--smtp-password-file", file("password", sink.Password), "--smtp-ca", file("ca.pem", string(sink.CA)),
		"--smtp-from", "Rondo <rondo@example.org>",
	}}), sink
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

// logIn logs in; code is for the second step, "" for none.
func (p *page) logIn(password, code string) {
	p.t.Helper()
	p.click("account")
	p.fill("login-name", "ann_shirley")
	p.fill("login-password", password)
	p.click("login-submit")
	if code != "" {
		p.click("second-other")
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

// totp is the code of an authenticator (RFC 6238).
func totp(t *testing.T, secret string) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(secret, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()/30)))
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
}

// TestAccountInCall: a guest registers in the middle of a call and stays in it, sets
// an authenticator up, logs out, and is logged out from another browser.
func TestAccountInCall(t *testing.T) {
	n, sink := accountNode(t)
	b := newBrowser(t, browserOptions{})
	ann, bo := b.newPage("Ann", pageOptions{}), b.newPage("Bo", pageOptions{})
	for _, p := range []*page{ann, bo} {
		p.ready(n.URL())
		p.start()
	}
	room := ann.inCall("")
	ann.watching()
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

	codes := ann.secondStep()
	ann.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('[data-testid="account-dialog"]').close()`))
	ann.watching()
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

	other := b.newPage("Ann's phone", pageOptions{phone: true})
	other.ready(n.URL())
	other.logIn(annPassword, codes[1])
	ann.revokedBy(other)
}

// secondStep sets an authenticator up and returns the recovery codes.
func (p *page) secondStep() []string {
	p.t.Helper()
	p.click("tab-security")
	p.click("totp-on")
	p.fill("confirm-password", annPassword)
	p.click("confirm-submit")
	p.until(step, `document.querySelector('[data-testid="totp-qr"] svg') && document.querySelector('[data-testid="totp-link"]').href.startsWith("otpauth://totp/")`, "the QR code")
	p.fill("totp-code", totp(p.t, eval[string](p, `document.querySelector('[data-testid="totp-secret"]').textContent`))) // goes by itself
	p.until(step, `document.querySelector('[data-testid="recovery-list"]').checkVisibility()`, "the recovery codes")
	codes := eval[[]string](p, `[...document.querySelectorAll('[data-testid="recovery-list"] li')].map(li => li.textContent)`)
	if len(codes) < 3 {
		p.t.Fatalf("recovery codes: %v", codes)
	}
	p.click("recovery-done")
	p.sees("totp-words", "On.")
	return codes
}

// revokedBy logs p out by another device of the account: its socket closes
// within 2 s, and the page goes on as a guest.
func (p *page) revokedBy(other *page) {
	p.t.Helper()
	eval[bool](p, `(rondo.on("connection", e => { if (e.status === "closed") window.closedAt ??= Date.now(); }), true)`)
	other.click("account")
	other.click("tab-devices")
	mine := `[data-testid="device"]:not([data-current]) [data-testid="device-revoke"]`
	other.until(step, fmt.Sprintf(`document.querySelectorAll(%q).length === 1`, mine), "one other device")
	asked := eval[float64](other, fmt.Sprintf(`(document.querySelector(%q).click(), Date.now())`, mine))
	p.account("out")
	p.sees("error", "logged out")
	took := time.Duration(eval[float64](p, `window.closedAt`)-asked) * time.Millisecond
	if took > 2*time.Second {
		p.t.Errorf("the socket closed after %v", took)
	}
	p.until(step, `rondo.status === "open" && rondo.user?.guest === true`, "on as a guest")
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
	ann.click("logout")
	ann.account("out")

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
	ann.until(step, `[...document.querySelectorAll('[data-testid="interest-chip"]')].map(c => c.dataset.value).join() === "jazz,cooking"`, "the interests were kept")
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

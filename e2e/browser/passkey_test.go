package browser_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// authenticator gives the page's machine one, with a finger that is always right, and returns its id.
func (p *page) authenticator() webauthn.AuthenticatorID {
	p.t.Helper()
	var id webauthn.AuthenticatorID
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		made, err := cdp.Call(ctx, t, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{
			Options: &webauthn.VirtualAuthenticatorOptions{
				Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
				HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
			},
		})
		if err == nil {
			id = made.AuthenticatorID
		}
		return err
	}))
	return id
}

// verifies sets whether the authenticator knows its user's finger.
func (p *page) verifies(id webauthn.AuthenticatorID, verified bool) {
	p.t.Helper()
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: id, IsUserVerified: verified})
		return err
	}))
}

// offers sets whether the browser offers passkeys where the name is typed, which this authenticator takes up at once.
func (p *page) offers(on bool) {
	p.t.Helper()
	eval[bool](p, fmt.Sprintf(`((PublicKeyCredential.isConditionalMediationAvailable = async () => %t), true)`, on))
}

// byName is the node's address as a name: passkeys belong to one.
func byName(n *lab.Node) string { return strings.Replace(n.URL(), "127.0.0.1", "localhost", 1) }

// TestPasskey: an account gets a passkey, its owner logs in by it alone, and no more once it is deleted.
func TestPasskey(t *testing.T) {
	n, sink := accountNode(t)
	b := newBrowser(t, browserOptions{})
	for _, phone := range []bool{false, true} {
		t.Run(fmt.Sprintf("phone=%t", phone), func(t *testing.T) { passkeyVisit(t, b, n, sink, phone) })
	}
}

func passkeyVisit(t *testing.T, b *browser, n *lab.Node, sink *testenv.SMTPServer, phone bool) {
	ann := b.newPage("Ann", pageOptions{phone: phone})
	id := ann.authenticator()
	ann.ready(byName(n))
	if phone { // the same person: the password is known, the passkey is another one
		ann.logIn(annPassword, "")
	} else {
		ann.click("account")
		ann.click("to-signup")
		ann.signUp(sink)
	}
	ann.addPasskey()
	ann.offers(false)
	ann.click("account")
	ann.click("logout")
	ann.account("out")

	ann.verifies(id, false) // somebody else's finger
	ann.click("account")
	ann.click("login-passkey")
	ann.sees("step-login", "No passkey was chosen.")
	ann.verifies(id, true)
	ann.click("login-passkey")
	ann.account("in")

	ann.click("account")
	ann.click("logout")
	ann.account("out")
	ann.offers(true)
	ann.click("account")
	ann.account("in") // the finger is on it already
	ann.offers(false)

	ann.click("account")
	ann.click("tab-security")
	ann.sees("passkey-list", "used just now")
	ann.click("passkey-delete")
	ann.until(step, `document.querySelectorAll('[data-testid="passkey"]').length === 0`, "no passkey")
	ann.click("tab-profile")
	ann.click("logout")
	ann.account("out")
	ann.click("account")
	ann.click("login-passkey")
	ann.sees("step-login", "That passkey does not work here.")
	if got := eval[string](ann, `document.documentElement.dataset.account`); got != "out" {
		t.Errorf("account: %s", got)
	}
}

// addPasskey adds one in the account's dialog, names it, and closes the dialog.
func (p *page) addPasskey() {
	p.t.Helper()
	p.click("account")
	p.click("tab-security")
	p.click("passkey-add")
	p.fill("confirm-password", annPassword)
	p.click("confirm-submit")
	p.sees("passkey-list", "not used yet")
	p.click("passkey-rename")
	p.empty("passkey-name")
	p.fill("passkey-name", "My <b>phone</b>")
	p.click("passkey-save")
	p.sees("passkey-list", "My <b>phone</b>")
	p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('[data-testid="account-dialog"]').close()`))
}

package api

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

func newPictures(t *testing.T) *Pictures {
	t.Helper()
	p, err := NewPictures([]byte(strings.Repeat("s", 32)), []byte(strings.Repeat("n", 32)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPictureNames: a name is the same for the same seat, another one for every
// other, hides whose it is, cannot be made or changed, and ends.
func TestPictureNames(t *testing.T) {
	p := newPictures(t)
	now := time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC)
	name := p.Name("room", "1", annID, now)
	if id, err := p.Whose(name, now); err != nil || id != annID {
		t.Fatalf("%q is of %q, %v", name, id, err)
	}
	if p.Name("room", "1", annID, now.Add(time.Minute)) != name {
		t.Error("a minute later it is another one")
	}
	seen := map[string]bool{name: true}
	for _, other := range []string{
		p.Name("another", "1", annID, now), p.Name("room", "2", annID, now), p.Name("room", "1", boID, now), p.Name("room", "1", annID, now.Add(48*time.Hour)),
	} {
		if seen[other] {
			t.Errorf("%q stands for two", other)
		}
		seen[other] = true
	}
	raw, _ := base64.RawURLEncoding.DecodeString(name)
	if strings.Contains(string(raw), string(annID)) || strings.Contains(name, string(annID)) {
		t.Error("it tells whose it is")
	}
	if _, err := p.Whose(name, now.Add(24*time.Hour)); err != nil {
		t.Errorf("after a day: %v", err)
	}
	if _, err := p.Whose(name, now.Add(48*time.Hour)); protocol.CodeOf(err) != protocol.CodeNotFound {
		t.Errorf("after two days: %v", err)
	}
	for i := range raw {
		changed := append([]byte(nil), raw...)
		changed[i] ^= 1
		if id, err := p.Whose(base64.RawURLEncoding.EncodeToString(changed), now); err == nil {
			t.Errorf("with byte %d changed it is of %q", i, id)
		}
	}
	for _, bad := range []string{"", "x", name[:20], name + "=", string(annID)} {
		if _, err := p.Whose(bad, now); protocol.CodeOf(err) != protocol.CodeNotFound {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestPicture: who was told the name gets the picture, without being anybody; a
// guest has none, and it does not show whether there is an account.
func TestPicture(t *testing.T) {
	b := newBench(t)
	b.accounts.users[annID].Avatar = "data:image/png;base64,iVBORw0KGgo="
	get := func(id protocol.UserID) (int, string) {
		w := b.do(b.request("GET", "/api/v1/pictures/"+b.cfg.Pictures.Name("room", "1", id, time.Now()), "", ""))
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	if code, body := get(annID); code != 200 || body != `{"picture":"data:image/png;base64,iVBORw0KGgo="}` {
		t.Errorf("Ann's: %d %s", code, body)
	}
	for _, id := range []protocol.UserID{boID, "g_aaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		if code, body := get(id); code != 200 || body != `{"picture":""}` {
			t.Errorf("%s: %d %s", id, code, body)
		}
	}
	b.accounts.took()
	if w := b.do(b.request("GET", "/api/v1/pictures/"+string(annID), "", b.token(annID))); w.Code != 404 || len(b.accounts.took()) > 0 {
		t.Errorf("by the identity: %d %s", w.Code, w.Body)
	}
}

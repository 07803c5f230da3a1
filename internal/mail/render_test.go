package mail

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func samples() map[Template]Message {
	at := time.Date(2026, 11, 21, 10, 40, 0, 0, time.UTC)
	all := map[Template]Message{}
	for _, name := range Templates() {
		m := Message{To: "ana@example.org", Name: "Ana María", Template: name}
		switch name {
		case Verify, Reset:
			m.Data = Data{Code: "40718293", Minutes: 10}
		case AlreadyRegistered:
			m.Data = Data{Username: "ana_maria"}
		case NewDevice, PasskeyAdded:
			m.Data = Data{Device: "Firefox on Linux", Place: "203.0.113.0/24", At: at}
		case PasswordChanged:
			m.Data = Data{Place: "2001:db8:1::/48", At: at}
		case Deleted:
			m.Data = Data{At: at}
		}
		all[name] = m
	}
	return all
}

func newTestRenderer(t testing.TB) *renderer {
	t.Helper()
	r, err := newRenderer("Rondo", "https://meet.example.org/")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestGolden compares every text with testdata/golden. A file
// that is missing is written, and the test fails once: look at what it wrote.
func TestGolden(t *testing.T) {
	r := newTestRenderer(t)
	for name, m := range samples() {
		for _, language := range Languages() {
			m.Language = language
			got, err := r.render("ID", m)
			if err != nil {
				t.Fatal(err)
			}
			base := filepath.Join("testdata", "golden", language+"-"+string(name))
			golden(t, base+".txt", "Subject: "+got.Subject+"\n\n"+got.Text)
			golden(t, base+".html", got.HTML)
		}
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	want, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(err, os.WriteFile(path, []byte(got), 0o644))
	}
	if err != nil || string(want) != got {
		t.Errorf("%s (%v): got\n%s", path, err, got)
	}
}

// TestTexts holds for every text: nothing from elsewhere is loaded, lines are
// short, both forms say the same, the code is not in the subject.
func TestTexts(t *testing.T) {
	r := newTestRenderer(t)
	for name, m := range samples() {
		for _, language := range Languages() {
			m.Language = language + "-XX"
			got, err := r.render("ID", m)
			if err != nil {
				t.Fatal(err)
			}
			where := language + " " + string(name)
			for _, remote := range []string{"src=", "url(", "@import", "<link", "<script", "<img"} {
				if strings.Contains(got.HTML, remote) {
					t.Errorf("%s: the HTML has %s", where, remote)
				}
			}
			if !strings.Contains(got.HTML, `lang="`+language+`"`) || strings.Contains(got.Text+got.HTML+got.Subject, "{{") || strings.Contains(got.Text, "[") {
				t.Errorf("%s:\n%s", where, got.Text)
			}
			for line := range strings.Lines(got.Text) {
				if len([]rune(line)) > 79 {
					t.Errorf("%s: a long line: %q", where, line)
				}
			}
			if m.Data.Code != "" && (strings.Contains(got.Subject, m.Data.Code) || !strings.Contains(got.HTML, m.Data.Code) ||
				!strings.Contains(got.Text, "\n    "+m.Data.Code+"\n")) {
				t.Errorf("%s: the code must be in both texts and not in the subject:\n%s", where, got.Text)
			}
			for _, fact := range facts(m.Data) {
				if !strings.Contains(got.Text, fact) || !strings.Contains(got.HTML, fact) {
					t.Errorf("%s: without %q", where, fact)
				}
			}
		}
	}
}

func TestSpoken(t *testing.T) {
	for tag, want := range map[string]string{"": "en", "de": "de", "de-AT": "de", "ES_mx": "es", "fr": "en", "../de": "en", "de\r\nx": "en"} {
		if got := spoken(tag); got != want {
			t.Errorf("%q: %s", tag, got)
		}
	}
}

// TestTypedText: what people chose cannot become markup, a link, another line or a header.
func TestTypedText(t *testing.T) {
	r := newTestRenderer(t)
	at := time.Now()
	m := Message{
		To: "a@example.org", Template: NewDevice, Name: "<b>Eve</b>\r\nBcc: x",
		Data: Data{Device: "<img src=x onerror=alert(1)>\n\nYour code:\u2028\u202e12", Place: strings.Repeat("é", 500), At: at},
	}
	got, err := r.render("ID", m)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.HTML, "<img") || strings.Contains(got.HTML, "<b>") || !strings.Contains(got.HTML, "&lt;img") {
		t.Error(got.HTML)
	}
	if strings.Contains(got.Text, "\n\nYour code") || strings.ContainsAny(got.Text, "\r\u2028\u202e") || strings.Count(got.Text, "é") != 64 {
		t.Error(got.Text)
	}
	if strings.Contains(got.Text, "Bcc") { // it has a colon
		t.Error(got.Text)
	}
	for _, name := range []string{"evil.example", "http://x", "mailto:x", "a@b", "\u200b\u202e", " \r\n ", "看.我"} {
		if g := greeting("en", Message{Name: name, Template: Reset}); g != "" {
			t.Errorf("%q: %q", name, g)
		}
	}
	for name, want := range map[string]string{"Ana": "Hello Ana,", " Ana \n Maria ": "Hello Ana Maria,", "👩‍👩‍👧": "Hello 👩‍👩‍👧,"} {
		if g := greeting("en", Message{Name: name, Template: Reset}); g != want {
			t.Errorf("%q: %q", name, g)
		}
	}
	for _, name := range []Template{Verify, AlreadyRegistered} { // to an address that somebody claimed
		if g := greeting("en", Message{Name: "Send money", Template: name}); g != "" {
			t.Errorf("%s: %q", name, g)
		}
	}
}

func TestAddress(t *testing.T) {
	for s, want := range map[string]string{
		"ana@example.org": "ana@example.org", "Ana+x.y@Example.org": "Ana+x.y@example.org", "josé@example.org": "josé@example.org",
		"a@bücher.example": "a@xn--bcher-kva.example", "a@localhost": "a@localhost", "o'neil@example.org": "o'neil@example.org",
	} {
		if got, err := Address(s); got != want || err != nil {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "a", "a@", "@b.org", "a@b", "a b@example.org", "a@example.org\r\nBcc: v@example.org", "a@example.org,b@example.org",
		"Ana <a@example.org>", "<a@example.org>", `"a b"@example.org`, "a@[127.0.0.1]", "a@example.org\x00", "a@exa\u200bmple.org", "a\u202e@example.org",
		"a@example.org\n", "a@example.org (x)", "a..b@example.org", ".a@example.org", "a@example..org", "a@-x.org", "a@\xff.org", "a@example.org>",
		strings.Repeat("a", 65) + "@example.org", "a@" + strings.Repeat("b.", 130) + "org",
	} {
		if got, err := Address(s); err == nil {
			t.Errorf("%q: taken as %q", s, got)
		} else if s != "" && len(s) > 2 && strings.Contains(err.Error(), s) {
			t.Errorf("the error repeats %q", s)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"a@b.org", "a@bücher.example", "a@b\r\nc", `"x"@b.org`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Address(s)
		if err != nil {
			return
		}
		if strings.ContainsAny(a, "\r\n\x00<>,;: \t\"") || strings.Count(a, "@") != 1 {
			t.Fatalf("%q became %q", s, a)
		}
		if again, err := Address(a); err != nil || again != a {
			t.Fatalf("%q, then %q, %v", a, again, err)
		}
	})
}

func TestSeal(t *testing.T) {
	sealer, err := NewSealer(make([]byte, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	for name, m := range samples() {
		r, err := sealer.Seal(m, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"ana", "example", "40718293", "Firefox"} {
			if strings.Contains(string(r.Body)+fmt.Sprint(r), secret) {
				t.Errorf("%s: the row shows %q", name, secret)
			}
		}
		got, err := sealer.open(r)
		if err != nil || got.To != m.To || got.Data != m.Data || got.Template != name {
			t.Errorf("%+v, %v", got, err)
		}
		want := 72 * time.Hour
		if m.Data.Code != "" {
			want = 10 * time.Minute
		}
		if r.Expires.Sub(now) != want || !r.Due.Equal(now) || !r.Created.Equal(now) || r.Key != r.ID {
			t.Errorf("%s: %+v", name, r)
		}
		for what, change := range map[string]func(*Row){
			"id": func(r *Row) { r.ID += "x" }, "template": func(r *Row) { r.Template = "x" }, "body": func(r *Row) { r.Body = r.Body[:20] }, "none": func(r *Row) { r.Body = nil },
		} {
			changed := r
			change(&changed)
			if _, err := sealer.open(changed); err == nil {
				t.Errorf("opened with another %s", what)
			}
		}
	}
	for name, m := range map[string]Message{
		"template": {To: "a@example.org", Template: "x"}, "recipient": {Template: Deleted}, "code": {To: "a@example.org", Template: Verify},
		"minutes": {To: "a@example.org", Template: Reset, Data: Data{Code: "1"}}, "address": {To: "a@b\nc", Template: Deleted},
	} {
		if _, err := sealer.Seal(m, now); err == nil {
			t.Errorf("bad %s: no error", name)
		}
	}
	if _, err := NewSealer(make([]byte, 16)); err == nil {
		t.Error("a short key: no error")
	}
}

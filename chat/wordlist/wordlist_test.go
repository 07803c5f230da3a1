package wordlist

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(t testing.TB, lines ...string) *List {
	t.Helper()
	l, err := Parse([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestHiddenWords: the common ways to hide a word, and words that only look like one.
func TestHiddenWords(t *testing.T) {
	l := parse(t, "# comment", "", "badword", "ass  # with a comment", "slur*", "*phobe", "*nasty*", "go away", "1488", "дурак", "坏话", "naïve")
	for _, s := range []string{
		"badword", "a BADWORD!", "Bad\u200bword", "b\u00adadword", "bádwörd", "b̶a̶d̶w̶o̶r̶d̶", "ｂａｄｗｏｒｄ", "𝐛𝐚𝐝𝐰𝐨𝐫𝐝", "ⓑⓐⓓⓦⓞⓡⓓ",
		"🅱🅰🅳🆆🅾🆁🅳", "🇧🇦🇩🇼🇴🇷🇩", "bаdwоrd", "βadword", "b4dw0rd", "b@dword", "baaaaadworrrrd", "BaDwOrD", "badword1", "1badword", "badword!you", "\"badword\"",
		"b.a.d.w.o.r.d", "b a d w o r d", "you b.4.d.w.0.r.d", "b.4.d.w.0.r.d you", "say b-a-d-w-o-r-d!", "b  a\nd\tw_o_r_d now", "b4d\u200dw0rd\u2060", "ᴮᴬᴰᵂᴼᴿᴰ", "ʙᴀᴅᴡᴏʀᴅ",
		"ass", "a$$", "@ss", "4$s", "asssss", "a s s", "as\u0301s",
		"slur", "slurs", "slurring", "xenophobe", "phobe", "unnastyness", "nasty", "go away", "GO  AWAY", "go, away!", "g0 aw4y", "1488", "in 1488!",
		"ДУРАК", "дуррррак", "你说坏话了", "naive", "NAÏVE",
	} {
		if !l.Blocks(s) {
			t.Errorf("%q passes", s)
		}
	}
	for _, s := range []string{
		"", "hello", "class", "assess", "bass", "as", "a s", "badwords", "abadword", "bad word", "islur", "phobes", "go far away", "ago away", "14880", "91488", "455", "4:55",
		"дураки", "坏 话", "a b c d", "e.g. this", "https://example.org/b", "👍👍👍", strings.Repeat("ab", 5000),
	} {
		if l.Blocks(s) {
			t.Errorf("%q is blocked", s)
		}
	}
	if l := parse(t, "abcd", "*bc*"); !l.Blocks("abc") {
		t.Error("a word within the beginning of another passes")
	}
	if parse(t).Blocks("anything") || parse(t, "# nothing", " ").Blocks("anything") {
		t.Error("an empty list blocks")
	}
}

func TestBadLists(t *testing.T) {
	for name, file := range map[string]string{
		"star in the middle": "a*b", "only a star": "*", "two stars": "**", "signs only": "...", "part of one letter": "*a*",
		"too long": strings.Repeat("x", maxEntry+1), "too large": strings.Repeat("word\n", maxFile/4), "not UTF-8": "a\xff", "invisible": "\u200b\u200b",
	} {
		if _, err := Parse([]byte(file)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	l, err := Parse([]byte("\ufeffone\r\ntwo\r\n"))
	if err != nil || !l.Blocks("one") || !l.Blocks("two") || l.lines != 2 {
		t.Errorf("a file of Windows: %v", err)
	}
}

// TestLinearTime: the steps of a search are bounded by the text, for the lists and texts that are worst.
func TestLinearTime(t *testing.T) {
	a := newAutomaton()
	for i := 1; i < 200; i++ {
		a.add([]rune(strings.Repeat("a", i) + "b"))
	}
	a.build()
	steps, at := 0, int32(0)
	for _, r := range strings.Repeat(strings.Repeat("a", 300)+"c", 50) {
		for from := at; ; from = a.fail[from] { // as step does
			steps++
			if _, ok := a.next[edge{from, r}]; ok || from == 0 {
				break
			}
		}
		at = a.step(at, r)
	}
	if n := 301 * 50; steps > 2*n {
		t.Errorf("%d steps for %d characters", steps, n)
	}
	var lines []string
	for i := 1; i < 45; i++ {
		lines = append(lines, "*"+strings.Repeat("ab", i)+"c*", "*"+strings.Repeat("ba", i)+"x")
	}
	l := parse(t, lines...)
	start := time.Now()
	for _, text := range []string{strings.Repeat("ab", 1<<14), strings.Repeat("a ", 1<<14), strings.Repeat("\ufdfa", 1<<11), strings.Repeat("a\u0301", 1<<13)} {
		if l.Blocks(text) {
			t.Error("blocked")
		}
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestLinks(t *testing.T) {
	l := parse(t)
	for s, want := range map[string]int{
		"": 0, "no link": 0, "e.g. this.": 0, "3.14 and 10.00": 0, "me@example.com": 0, "end.To begin": 1,
		"https://example.org/a": 1, "see http://a.b and (https://c.d)": 2, "www.example.org": 1, "example.com": 1, "Example.COM/path?x=1": 1, "ｅｘａｍｐｌｅ．ｃｏｍ": 1,
		"exam\u200bple.com.": 1, "bit.ly/x,t.me/y": 2, "example.com:8080": 1, "ftp://x": 1, "javascript:alert(1)": 0,
	} {
		if got := l.links(s); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}

func caller(id protocol.UserID, guest bool) conversations.Caller {
	return conversations.Caller{Principal: auth.Principal{Identity: id, Guest: guest}}
}

func check(t *testing.T, m *Moderator, who conversations.Caller, text string) protocol.Code {
	t.Helper()
	err := m.Check(t.Context(), who, "c_1", text)
	if e, ok := errors.AsType[*protocol.Error](err); ok && e.Code == protocol.CodeRateLimited && e.Retry <= 0 {
		t.Errorf("no retry: %v", err)
	}
	return protocol.CodeOf(err)
}

// TestModerator: words for all, links by who posts them.
func TestModerator(t *testing.T) {
	file := filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(file, []byte("badword\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := New(Config{File: file, Links: 10, GuestLinks: 2})
	if err != nil {
		t.Fatal(err)
	}
	ann, guest := caller("u_ann", false), caller("g_1", true)
	for _, c := range []struct {
		who  conversations.Caller
		text string
		want protocol.Code
	}{
		{ann, "hello", ""}, {ann, "b4dword", protocol.CodeRejected}, {guest, "badword", protocol.CodeRejected},
		{guest, "a.com b.com c.com", protocol.CodeRejected}, {guest, "a.com", ""}, {guest, "b.com", ""}, {guest, "c.com", protocol.CodeRateLimited}, {guest, "hello", ""},
		{ann, strings.Repeat("a.com ", 10), ""}, {ann, "a.com", protocol.CodeRateLimited}, {caller("u_bo", false), "a.com", ""},
	} {
		if got := check(t, m, c.who, c.text); got != c.want {
			t.Errorf("%s: %q: %q, want %q", c.who.Identity, c.text, got, c.want)
		}
	}
	none, err := New(Config{GuestLinks: -1, Links: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []conversations.Caller{ann, guest} {
		if check(t, none, who, "see a.com") != protocol.CodeRejected || check(t, none, who, "badword") != "" {
			t.Errorf("%s: no links are allowed, and no words blocked", who.Identity)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := none.Check(ctx, ann, "c_1", "hello"); err != nil {
		t.Error(err)
	}
}

// TestReload: a changed list is used within 5 s; a bad one, or none, changes nothing.
func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "words")
	now := time.Unix(1_800_000_000, 0)
	write := func(s string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, now.Add(age), now.Add(age)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := New(Config{File: file}); err == nil {
		t.Fatal("made without its file")
	}
	write("one\n", 0)
	m, err := New(Config{File: file, now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := m.read(); changed || err != nil {
		t.Errorf("read again without a change: %v", err)
	}
	ann := caller("u_ann", false)
	step := func(what string, one, two protocol.Code) {
		t.Helper()
		if a, b := check(t, m, ann, "one"), check(t, m, ann, "two"); a != one || b != two {
			t.Errorf("%s: %q, %q", what, a, b)
		}
	}
	step("at first", protocol.CodeRejected, "")
	write("two\n", time.Second)
	step("not looked at yet", protocol.CodeRejected, "")
	now = now.Add(lookEvery)
	step("looked at", "", protocol.CodeRejected)
	write("o*n*e\n", 2*time.Second)
	now = now.Add(lookEvery)
	step("a bad one", "", protocol.CodeRejected)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	now = now.Add(lookEvery)
	step("gone", "", protocol.CodeRejected)
	write("one\n", 3*time.Second)
	now = now.Add(lookEvery)
	step("back", protocol.CodeRejected, "")
}

func FuzzBlocks(f *testing.F) {
	f.Add("badword\n*a b*", "some bad\u200bword")
	f.Add("a", "a a a a")
	f.Fuzz(func(t *testing.T, list, text string) {
		l, err := Parse([]byte(list))
		if err != nil {
			return
		}
		l.Blocks(text)
		l.links(text)
		for _, s := range styles() {
			line := s.read(l.folder.fold(text))
			if line[0] != ' ' || line[len(line)-1] != ' ' || strings.Contains(string(line), "  ") {
				t.Errorf("%+v reads %q as %q", s, text, string(line))
			}
		}
		word, _, _ := strings.Cut(list, "\n")
		if word = strings.TrimSpace(word); word != "" && utf8.ValidString(word) && !strings.ContainsAny(word, "*#\ufeff\r") && l.lines > 0 && !l.Blocks(word) {
			t.Errorf("%q is on the list and passes", word)
		}
	})
}

func BenchmarkBlocks(b *testing.B) {
	l := parse(b, "badword", "slur*", "*nasty*", "go away")
	text := "What a lovely day it is, and nobody says anything that anybody could mind: 42!"
	b.ReportAllocs()
	for b.Loop() {
		if l.Blocks(text) {
			b.Fatal("blocked")
		}
	}
}

package conversations_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/conversations/searchtest"
)

func TestTerms(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"Hello, hello WORLD":         "hello world",
		"Café CAFÉ cafe\u0301":       "cafe",
		"Straße ǅ ﬁn Ａ":              "strasse dz fin a",
		"Łódź Ærø İstanbul ısı þorn": "lodz aero istanbul isi thorn",
		"Όδυσσέας ὀδυσσέας":          "οδυσσεασ",
		"Йод йод ёлка елка ї и́":     "йод елка ї и",
		"שָׁלוֹם":                    "שלום",
		"مُحَمَّدٌ محـــمد أحمد احمد مدرسة على": "محمد احمد مدرسه علي",
		"٤٢ ۴۲":                "42",
		"हिन्दी":               "हिन्दी",
		"中":                    "中",
		"中国 人":                 "中 中国 国 人",
		"今日はカレー":               "今 今日 日 日は は はカ カ カレ レ レー ー",
		"한국":                   "한 한국 국",
		"v2版":                  "v2 版",
		"don't x_y a.b@c.de":   "don t x y a b c de",
		`"a" OR 1=1; DROP--`:   "a or 1 drop",
		"a* NEAR(b, 2) ^c {d}": "a near b 2 c d",
		"👍🏽👍 ❤️❤":              "👍 ❤",
		"👨‍👩‍👧x🇩🇪🇫🇷":           "👨‍👩‍👧 x 🇩🇪 🇫🇷",
		"1️⃣ soft\u00adhyphen می\u200cخواهم a\u200bb": "1 softhyphen ميخواهم a b",
		"\xff\xfeok\x00\u0301": "ok",
	} {
		if got := strings.Join(conversations.Terms(text), " "); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestTermsBounds(t *testing.T) {
	var all strings.Builder
	for r := range rune(2000) {
		all.WriteRune(0x4e00 + r)
	}
	if got := conversations.Terms(all.String()); len(got) != conversations.MaxTerms {
		t.Errorf("%d terms", len(got))
	}
	if got := conversations.Terms(strings.Repeat("é", 5000)); len(got) != 1 || got[0] != strings.Repeat("e", conversations.MaxTermBytes) {
		t.Errorf("%q", got)
	}
	if got, _ := conversations.Query(all.String()); len(got) != conversations.MaxQueryTerms {
		t.Errorf("%d terms in a query", len(got))
	}
}

func TestQuery(t *testing.T) {
	for text, want := range map[string]string{
		"":            "",
		`"'*()`:       "",
		"Hello wor":   "hello wor*",
		"hello wor ":  "hello wor",
		"hello wor*":  "hello wor",
		`"hello`:      "hello*",
		`"hello"`:     "hello",
		"a":           "a",
		"中":           "中",
		"中国":          "中国",
		"中国人":         "中国 国人",
		"foo bar foo": "foo bar",
		"👍":           "👍",
		"hello 👍":     "hello 👍",
	} {
		terms, prefix := conversations.Query(text)
		got := strings.Join(terms, " ")
		if prefix {
			got += "*"
		}
		if got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// FuzzTerms: whatever a text is, its terms are bounded, plain, and what a query for the text asks for.
func FuzzTerms(f *testing.F) {
	for _, s := range []string{"Café", "中国人 foo", "👨‍👩‍👧🇩🇪🇫", "שָׁל مُحَمَّـ", "e\u200d\u0301", "\u1100\u200d\u1161", "ー", "\xff", "ﷺ", strings.Repeat("a\u0301", 50)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		terms := conversations.Terms(text)
		if len(terms) > conversations.MaxTerms {
			t.Fatalf("%d terms", len(terms))
		}
		seen := map[string]bool{}
		for _, term := range terms {
			if seen[term] || term == "" || len(term) > conversations.MaxTermBytes || !utf8.ValidString(term) || !plain(term) {
				t.Errorf("%q has the term %q", text, term)
			}
			seen[term] = true
		}
		asked, prefix := conversations.Query(text)
		for _, term := range asked {
			if len(terms) < conversations.MaxTerms && !seen[term] {
				t.Errorf("%q is not found by itself: %q", text, term)
			}
		}
		if prefix && len(asked) == 0 {
			t.Errorf("%q is a beginning of nothing", text)
		}
		if other := conversations.Terms(norm.NFD.String(text)); utf8.ValidString(text) && !slices.Equal(terms, other) {
			t.Errorf("%q has %q, decomposed %q", text, terms, other)
		}
	})
}

func plain(term string) bool {
	return strings.IndexFunc(term, func(r rune) bool {
		return r != '\u200d' && !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.So)
	}) < 0
}

func BenchmarkTerms(b *testing.B) {
	for name, text := range map[string]string{"latin": strings.Repeat("The quick brown fox says café. ", 10), "chinese": strings.Repeat("我们明天去北京看长城吧", 10)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				conversations.Terms(text)
			}
		})
	}
}

// TestCorpus: terms and queries alone, without an engine, find what the corpus asks for.
func TestCorpus(t *testing.T) {
	for _, c := range searchtest.Cases() {
		asked, prefix := conversations.Query(c.Query)
		var found []string
		for name, text := range searchtest.Texts() {
			if len(asked) > 0 && matches(conversations.Terms(text), asked, prefix) {
				found = append(found, name)
			}
		}
		if slices.Sort(found); !slices.Equal(found, c.Want) {
			t.Errorf("%q finds %q, want %q", c.Query, found, c.Want)
		}
	}
}

func matches(terms, asked []string, prefix bool) bool {
	for i, a := range asked {
		begins := prefix && i == len(asked)-1
		if !slices.ContainsFunc(terms, func(term string) bool { return term == a || begins && strings.HasPrefix(term, a) }) {
			return false
		}
	}
	return true
}

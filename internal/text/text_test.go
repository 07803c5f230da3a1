package text

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"github.com/rondo-chat/rondo/protocol"
)

const family = "👨‍👩‍👧‍👦" // one character, 25 bytes

func TestName(t *testing.T) {
	for _, c := range []struct {
		in, want string
		code     protocol.Code
	}{
		{in: "Ann", want: "Ann"},
		{in: "  Ann \t Lee\u00a0\u3000B \n", code: protocol.CodeBadRequest}, // a tab inside
		{in: " \n Ann  Lee\u00a0\u3000B \t\r\n", want: "Ann Lee B"},
		{in: "", want: ""},
		{in: " \u200b\u3164 ", want: ""},
		{in: "e\u0301", want: "é"},
		{in: strings.Repeat("é", 40), want: strings.Repeat("é", 40)},
		{in: strings.Repeat("é", 41), code: protocol.CodeBadRequest},
		{in: strings.Repeat(family, 19), want: strings.Repeat(family, 19)},
		{in: "a" + strings.Repeat("\u0301", 500), code: protocol.CodeBadRequest},
		{in: "a\x00b", code: protocol.CodeBadRequest},
		{in: "a\u0085b", code: protocol.CodeBadRequest},
		{in: "a\u2028b", code: protocol.CodeBadRequest},
		{in: "a\u202eb", code: protocol.CodeBadRequest},
		{in: "a\u2066b", code: protocol.CodeBadRequest},
		{in: "a\xffb", code: protocol.CodeBadRequest},
		{in: "مريم \u200f", want: "مريم \u200f"},
		{in: "O'Brien <b>&amp;", want: "O'Brien <b>&amp;"},
	} {
		got, err := Name(c.in)
		if got != c.want || protocol.CodeOf(err) != c.code {
			t.Errorf("Name(%q) = %q, %v; want %q %s", c.in, got, err, c.want, c.code)
		}
	}
	if _, err := RoomName(strings.Repeat("x", 80)); err != nil {
		t.Error(err)
	}
	if _, err := RoomName(strings.Repeat("x", 81)); err == nil {
		t.Error("81 characters")
	}
}

func TestTag(t *testing.T) {
	for _, c := range []struct {
		in, want string
		code     protocol.Code
	}{
		{in: " JAZZ ", want: "jazz"}, {in: "Ｊａｚｚ", want: "jazz"}, {in: "ﬁsh", want: "fish"},
		{in: "Straße", want: "straße"}, {in: "new  york", want: "new york"}, {in: "日本", want: "日本"},
		{in: strings.Repeat("x", 24), want: strings.Repeat("x", 24)},
		{in: strings.Repeat("x", 25), code: protocol.CodeBadRequest},
		{in: "", code: protocol.CodeBadRequest}, {in: " \u200b", code: protocol.CodeBadRequest},
		{in: "a\nb", code: protocol.CodeBadRequest}, {in: "\ufdfa\ufdfa\ufdfa", code: protocol.CodeBadRequest}, // expands to 18 each
	} {
		got, err := Tag(c.in)
		if got != c.want || protocol.CodeOf(err) != c.code {
			t.Errorf("Tag(%q) = %q, %v; want %q %s", c.in, got, err, c.want, c.code)
		}
	}
}

func TestLanguage(t *testing.T) {
	for in, want := range map[string]string{
		"en": "en", "de-AT": "de", "DE_ch": "de", " fr ": "fr", "zh-Hant-TW": "zh", "eng": "en", "iw": "he", "gsw": "gsw",
		"": "", "und": "", "xx": "", "english": "", "e": "", "mul": "", "1": "", strings.Repeat("en-", 20): "",
	} {
		got, err := Language(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Language(%q) = %q, %v", in, got, err)
		}
	}
}

func TestChat(t *testing.T) {
	for _, c := range []struct {
		in   string
		code protocol.Code
	}{
		{in: "hello\n\tyou"}, {in: strings.Repeat("é", 4000)}, {in: strings.Repeat("x", 4001), code: protocol.CodeTooLarge},
		{in: strings.Repeat(family, 16<<10/25)}, {in: strings.Repeat(family, 16<<10/25+1), code: protocol.CodeTooLarge},
		{in: "", code: protocol.CodeBadRequest}, {in: " \n\t\u200b", code: protocol.CodeBadRequest},
		{in: "a\x07", code: protocol.CodeBadRequest}, {in: "a\r\n", code: protocol.CodeBadRequest}, {in: "a\x7f", code: protocol.CodeBadRequest},
		{in: "\xff", code: protocol.CodeBadRequest}, {in: "\ufffd"}, {in: "👍"}, {in: "❤️"},
	} {
		got, err := Chat(c.in)
		if protocol.CodeOf(err) != c.code || (err == nil && got != c.in) {
			t.Errorf("Chat(%.40q) = %.40q, %v; want %s", c.in, got, err, c.code)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"Ann", " a  b ", family, "İ", "ﬁ", "\u0345\u0300", "ΑΣ", "a\u202e", "\xff", "de-AT", "\u1e9e", "ŉ", "㎈", "\u3000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, c := range map[string]struct {
			clean func(string) (string, error)
			max   int
		}{
			"Name": {Name, protocol.MaxNameChars}, "RoomName": {RoomName, protocol.MaxRoomNameChars},
			"Tag": {Tag, protocol.MaxTagChars}, "Language": {Language, 8}, "Chat": {Chat, protocol.MaxChatChars},
		} {
			got, err := c.clean(s)
			if err != nil {
				if got != "" || protocol.CodeOf(err) == protocol.CodeInternal {
					t.Fatalf("%s(%q): %q, %v", name, s, got, err)
				}
				continue
			}
			if again, err := c.clean(got); name != "Chat" && got != "" && (again != got || err != nil) {
				t.Fatalf("%s(%q) = %q, then %q, %v", name, s, got, again, err)
			}
			if !utf8.ValidString(got) || uniseg.GraphemeClusterCount(got) > c.max {
				t.Fatalf("%s(%q) = %q", name, s, got)
			}
			if name != "Chat" && strings.ContainsFunc(got, unicode.IsControl) {
				t.Fatalf("%s(%q) = %q", name, s, got)
			}
		}
	})
}

func TestEmoji(t *testing.T) {
	for _, s := range []string{"👍", "❤️", "❤", family, "🏳️‍🌈", "👍🏽", "🇩🇪", "1️⃣", "#️⃣", "☺️", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "✅", "⭐", "©️", "🫠"} {
		if err := Emoji(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"", "a", "1", "12", "#", "👍👍", "👍 ", " ", "\u200d", "\ufe0f", "é", "<b>", "\x00", "\u202e", "中", "👍a", "\xff", "🏽", "a\u20e3", "\n",
		"👨‍👩‍👧‍👦‍👦‍👦‍👦", "\U000e0067", "👍\u0301"} {
		if Emoji(s) == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

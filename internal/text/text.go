// Package text cleans and checks what people type: names, tags, languages and
// chat. Lengths are counted in grapheme clusters (Unicode Standard Annex 29),
// what a person calls a character; a bound in bytes besides keeps clusters with
// hundreds of marks out. Section numbers are those of docs/protocol.md.
//
// Errors are *protocol.Error and name the field. Cleaning is idempotent: what a
// function returned it returns unchanged.
package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"

	"github.com/rondo-chat/rondo/protocol"
)

// bytesPerChar bounds text in bytes: an emoji of a family has 25, most letters
// have 1 to 4.
const bytesPerChar = 12

// Name cleans a person's name (section 3): NFC, white space trimmed and folded.
// The result is "" where nothing visible is left: the server then chooses.
func Name(s string) (string, error) { return line("name", s, protocol.MaxNameChars) }

// RoomName cleans the name of a room (section 6), which may be "".
func RoomName(s string) (string, error) { return line("name", s, protocol.MaxRoomNameChars) }

// Tag cleans a tag (section 5): NFKC, lower case, white space trimmed and folded.
func Tag(s string) (string, error) {
	if err := bounded("tags", s, protocol.MaxTagChars); err != nil {
		return "", err
	}
	for range 3 { // lower case may need composing again, and the other way round
		s = strings.ToLower(norm.NFKC.String(s))
	}
	s, err := line("tags", s, protocol.MaxTagChars)
	if err == nil && s == "" {
		err = protocol.Errorf(protocol.CodeBadRequest, "tags: a tag is empty")
	}
	return s, err
}

// Language returns the primary language of a BCP 47 tag ("de" of "de-AT"), in
// its canonical form. Only languages that have a registered code are taken.
func Language(s string) (string, error) {
	primary, _, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(s), "_", "-"), "-")
	base, err := language.ParseBase(primary)
	if err != nil || len(s) > 35 { // RFC 5646, section 4.4.1
		return "", protocol.Errorf(protocol.CodeBadRequest, "languages: not a language")
	}
	base, _, _ = language.Make(base.String()).Raw() // deprecated codes become the present ones
	switch c := base.String(); c {
	case "und", "mul", "zxx", "mis":
		return "", protocol.Errorf(protocol.CodeBadRequest, "languages: not a language")
	default:
		return c, nil
	}
}

// Chat checks the text of a chat message (section 8), which stays as it is.
func Chat(s string) (string, error) {
	switch {
	case len(s) > protocol.MaxChatBytes || longer(s, protocol.MaxChatChars):
		return "", protocol.Errorf(protocol.CodeTooLarge, "text: at most %d characters and %d bytes", protocol.MaxChatChars, protocol.MaxChatBytes)
	case !utf8.ValidString(s):
		return "", protocol.Errorf(protocol.CodeBadRequest, "text: not UTF-8")
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		return "", protocol.Errorf(protocol.CodeBadRequest, "text: control characters are not allowed")
	case !visible(s):
		return "", protocol.Errorf(protocol.CodeBadRequest, "text: empty")
	}
	return s, nil
}

// line cleans one line of text of at most so many characters.
func line(field, s string, chars int) (string, error) {
	if err := bounded(field, s, chars); err != nil {
		return "", err
	}
	s = strings.TrimFunc(norm.NFC.String(s), unicode.IsSpace)
	if strings.ContainsFunc(s, forbidden) {
		return "", protocol.Errorf(protocol.CodeBadRequest, "%s: control and direction characters are not allowed", field)
	}
	s = strings.Join(strings.FieldsFunc(s, unicode.IsSpace), " ")
	if longer(s, chars) || len(s) > chars*bytesPerChar {
		return "", tooLong(field, chars)
	}
	if !visible(s) {
		return "", nil
	}
	return s, nil
}

// bounded refuses what is not worth cleaning.
func bounded(field, s string, chars int) error {
	if !utf8.ValidString(s) {
		return protocol.Errorf(protocol.CodeBadRequest, "%s: not UTF-8", field)
	}
	if len(s) > 4*chars*bytesPerChar {
		return tooLong(field, chars)
	}
	return nil
}

func tooLong(field string, chars int) error {
	return protocol.Errorf(protocol.CodeBadRequest, "%s: at most %d characters", field, chars)
}

// forbidden are characters that end lines, control or turn the text around.
func forbidden(r rune) bool {
	switch {
	case unicode.IsControl(r), r == '\u2028', r == '\u2029':
		return true
	}
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// visible reports whether s shows anything: not only space, marks and
// characters without a glyph.
func visible(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		switch r {
		case '\u115f', '\u1160', '\u3164', '\uffa0', '\u2800', '\u034f': // fillers, blank Braille, joiner
			return false
		}
		return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !unicode.IsMark(r)
	})
}

// longer reports whether s has more than n grapheme clusters, looking no
// further than needed.
func longer(s string, n int) bool {
	if len(s) <= n {
		return false
	}
	state := -1
	for ; len(s) > 0; n-- {
		if n == 0 {
			return true
		}
		_, s, _, state = uniseg.FirstGraphemeClusterInString(s, state)
	}
	return false
}

// maxEmojiBytes bounds an emoji: the flag of Scotland has 28.
const maxEmojiBytes = 32

// Emoji checks that s is one emoji, as people set it under a message: one grapheme cluster with a
// pictogram, a flag or a keycap, and nothing that is a letter or a control character.
func Emoji(s string) error {
	bad := protocol.Errorf(protocol.CodeBadRequest, "emoji: not one emoji")
	if s == "" || len(s) > maxEmojiBytes || !utf8.ValidString(s) {
		return bad
	}
	if cluster, _, _, _ := uniseg.FirstGraphemeClusterInString(s, -1); cluster != s {
		return bad
	}
	pictured, keycap := false, false
	for i, r := range s {
		switch {
		case isPictogram(r):
			pictured = true
		case r == '\u20e3':
			keycap = true
		case r == '\u200d', r == '\ufe0f', r >= 0x1f3fb && r <= 0x1f3ff, r >= 0xe0020 && r <= 0xe007f: // joiner, presentation, skin, tags
		case i == 0 && (r >= '0' && r <= '9' || r == '#' || r == '*'):
		default:
			return bad
		}
	}
	if !pictured && !keycap {
		return bad
	}
	return nil
}

// isPictogram reports whether r is a symbol that shows as an emoji or as a half of a flag.
func isPictogram(r rune) bool {
	switch {
	case r >= 0x1f3fb && r <= 0x1f3ff: // skin alone
		return false
	case r == '\u00a9', r == '\u00ae', r == '\u203c', r == '\u2049', r == '\u2122', r == '\u2139', r == '\u3030', r == '\u303d', r == '\u3297', r == '\u3299':
		return true
	}
	return r >= 0x1f000 && r <= 0x1fbff || r >= 0x2190 && r <= 0x2bff && unicode.IsSymbol(r)
}

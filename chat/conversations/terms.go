package conversations

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Bounds of what search finds a text by.
const (
	MaxTerms      = 500 // of a message: what comes after them is not found
	MaxTermBytes  = 40  // longer words are cut
	MaxQueryTerms = 32  // of a query: what comes after them does not matter
)

const (
	zeroWidthSpace  = '\u200b'
	zeroWidthJoiner = '\u200d'
	prolongedSound  = '\u30fc'
)

// Terms returns the words that search finds a text by, each once, in the order of their
// coming: at most MaxTerms of at most MaxTermBytes bytes. A term has letters, digits and marks only, or is an
// emoji; so quotes and operators of whatever query language are gone.
//
// Words differ neither by case nor by width (NFKC, full case folding). Latin and Greek
// lose their accents, Hebrew and Arabic the vowel signs, Arabic letters that
// people write for one another are one (alef, yeh, kaf, teh marbuta); Cyrillic й, ї and ў are letters of their own, ё is е.
// Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese, where spaces do not divide words, are
// their single characters and each two that stand together. Emoji differ neither by skin nor by variation. Decision 020.
func Terms(text string) []string {
	found := newTermSet(MaxTerms)
	scan(text, func(w word) bool {
		if !w.dense {
			return found.add(w.text)
		}
		rs := []rune(w.text)
		for i := range rs {
			if !found.add(string(rs[i])) || i+1 < len(rs) && !found.add(string(rs[i:i+2])) {
				return false
			}
		}
		return true
	})
	return found.list
}

// Query returns the terms that a message must have to match, at most MaxQueryTerms, none if there is nothing to look
// for. If prefix, the last one may be the beginning of a word: the text ends in it, and it has two letters or more.
func Query(text string) (terms []string, prefix bool) {
	found := newTermSet(MaxQueryTerms)
	var last word
	whole := scan(text, func(w word) bool {
		last = w
		if !w.dense {
			return found.add(w.text)
		}
		rs := []rune(w.text)
		if len(rs) == 1 {
			return found.add(w.text)
		}
		for i := range len(rs) - 1 {
			if !found.add(string(rs[i : i+2])) {
				return false
			}
		}
		return true
	})
	n := len(found.list)
	open := whole && n > 0 && found.list[n-1] == last.text && last.open && !last.dense && !last.emoji
	return found.list, open && utf8.RuneCountInString(last.text) > 1
}

// termSet is a list without doubles.
type termSet struct {
	list []string
	has  map[string]struct{}
	max  int
}

func newTermSet(most int) *termSet { return &termSet{has: map[string]struct{}{}, max: most} }

// add reports whether there is room for another one.
func (s *termSet) add(term string) bool {
	if _, ok := s.has[term]; !ok {
		s.has[term] = struct{}{}
		s.list = append(s.list, term)
	}
	return len(s.list) < s.max
}

// word is what stands between separators.
type word struct {
	text  string
	dense bool // of a script without spaces: as long as it is
	emoji bool
	open  bool // the text ends with it
}

// scanner cuts a text into words.
type scanner struct {
	give   func(word) bool
	buf    []byte
	runes  int
	dense  bool
	emoji  bool
	joined bool // a joiner follows the emoji
	flag   bool // the emoji is half a flag
	strip  bool // marks that follow are no part of the word
	ended  bool // give wants no more
}

// scan calls give with the words of the text, normalised, until it returns false; it reports whether it never did.
func scan(text string, give func(word) bool) bool {
	s := &scanner{give: give}
	fold := cases.Fold()
	for _, r := range norm.NFKC.String(fold.String(norm.NFKC.String(text))) {
		if s.rune(r); s.ended {
			return false
		}
	}
	s.end(true)
	return !s.ended
}

// maxDense bounds a word of a script without spaces, which is not cut: more than Terms takes.
const maxDense = MaxTerms

func (s *scanner) rune(r rune) {
	switch {
	case r < utf8.RuneSelf:
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			s.letter(r, false)
			s.strip = true
		} else {
			s.end(false)
		}
	case r == zeroWidthJoiner:
		s.joined = s.emoji
	case r == zeroWidthSpace || r == utf8.RuneError:
		s.end(false)
	case unicode.In(r, unicode.Cf, unicode.Variation_Selector) || unicode.Is(unicode.Sk, r) && r >= 0x1f3fb:
		// Soft hyphens, directions, non-joiners, skin: a word goes on.
	case unicode.Is(unicode.M, r):
		if !unicode.Is(unicode.Me, r) && !s.strip && !s.emoji && s.runes > 0 {
			s.letter(r, s.dense)
		}
	case unicode.Is(unicode.So, r):
		s.symbol(r)
	case r == prolongedSound || unicode.In(r, dense()...):
		s.letter(r, true)
		s.strip = false
	case unicode.In(r, unicode.L, unicode.N):
		text, strip := fold(r)
		for _, r := range text {
			s.letter(r, false)
		}
		s.strip = strip
	default:
		s.end(false)
	}
}

// dense returns the scripts in which spaces do not divide words. Korean has spaces, but its words have endings.
func dense() []*unicode.RangeTable {
	return []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo,
		unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar}
}

// letter adds a letter, digit or mark.
func (s *scanner) letter(r rune, dense bool) {
	if s.emoji || s.dense != dense && s.runes > 0 || dense && s.runes >= maxDense {
		s.end(false)
	}
	s.dense = dense
	if dense || len(s.buf)+utf8.RuneLen(r) <= MaxTermBytes {
		s.buf = utf8.AppendRune(s.buf, r)
	}
	s.runes++
}

// symbol begins an emoji, or goes on with one.
func (s *scanner) symbol(r rune) {
	half := unicode.Is(unicode.Regional_Indicator, r)
	switch {
	case s.emoji && s.joined:
		if len(s.buf)+utf8.RuneLen(zeroWidthJoiner)+utf8.RuneLen(r) <= MaxTermBytes {
			s.buf = utf8.AppendRune(utf8.AppendRune(s.buf, zeroWidthJoiner), r)
		}
		s.joined, s.flag = false, false
		return
	case s.flag && half:
		s.buf = utf8.AppendRune(s.buf, r)
		s.flag = false
		return
	}
	s.end(false)
	s.buf, s.runes = utf8.AppendRune(s.buf, r), 1
	s.emoji, s.flag = true, half
}

func (s *scanner) end(open bool) {
	if s.runes > 0 && !s.ended {
		s.ended = !s.give(word{text: string(s.buf), dense: s.dense, emoji: s.emoji, open: open})
	}
	*s = scanner{give: s.give, buf: s.buf[:0], ended: s.ended}
}

// fold returns what stands for a letter, and whether marks after it are left out.
func fold(r rune) (string, bool) {
	switch {
	case r == '\u0640':
		return "", true // tatweel only fills a line
	case r >= '٠' && r <= '٩':
		return string(r - '٠' + '0'), true
	case r >= '۰' && r <= '۹':
		return string(r - '۰' + '0'), true
	case unicode.In(r, unicode.Latin, unicode.Greek):
		return latin(r), true
	case unicode.In(r, unicode.Cyrillic, unicode.Arabic, unicode.Hebrew):
		return string(eastern(r)), true
	}
	return string(r), false
}

// latin returns a Latin or Greek letter without its accents.
func latin(r rune) string {
	switch r { // these have no decomposition, but people without the key write so
	case 'ł':
		return "l"
	case 'ø':
		return "o"
	case 'đ', 'ð':
		return "d"
	case 'ħ':
		return "h"
	case 'ı':
		return "i"
	case 'æ':
		return "ae"
	case 'œ':
		return "oe"
	case 'þ':
		return "th"
	}
	text := string(r)
	d := norm.NFD.PropertiesString(text).Decomposition()
	if len(d) == 0 {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.M, r) {
			return -1
		}
		return r
	}, string(d))
}

// eastern returns the letter for which people write this one.
func eastern(r rune) rune {
	switch r {
	case 'ё', 'ѐ':
		return 'е'
	case 'ѝ':
		return 'и'
	case 'أ', 'إ', 'آ', 'ٱ':
		return 'ا'
	case 'ى', 'ی':
		return 'ي'
	case 'ک':
		return 'ك'
	case 'ة':
		return 'ه'
	}
	return r
}

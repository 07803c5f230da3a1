package wordlist

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// lookalikes are letters that stand for a Latin one, after decomposition and in lower case. Words of
// these alphabets are folded too, in lists and in texts alike, so that they are still found.
func lookalikes() map[rune]string {
	m := map[rune]string{'æ': "ae", 'œ': "oe", 'ß': "ss", 'ĳ': "ij"}
	for latin, others := range map[string]string{
		"a": "аαᴀɑ", "b": "вβʙьƅ", "c": "сϲᴄ", "d": "ԁđðᴅɗ", "e": "еεᴇєɛə", "f": "ғꜰƒ", "g": "ɢɡ", "h": "нһħʜ", "i": "іιıɪӏ",
		"j": "јᴊʝ", "k": "кκᴋ", "l": "łʟ", "m": "мᴍ", "n": "ηɴпŋ", "o": "оοøᴏσ", "p": "рρᴘ", "q": "ԛ", "r": "гʀ", "s": "ѕꜱ",
		"t": "тτᴛ", "u": "υᴜս", "v": "νᴠѵ", "w": "ԝᴡшωщ", "x": "хχ", "y": "уγʏ", "z": "ᴢʐ",
	} {
		for _, r := range others {
			m[r] = latin
		}
	}
	return m
}

// leet is what signs and digits inside a word stand for.
func leet(r rune) (rune, bool) {
	switch r {
	case '0':
		return 'o', true
	case '1', '!':
		return 'i', true
	case '3', '€':
		return 'e', true
	case '4', '@':
		return 'a', true
	case '5', '$':
		return 's', true
	case '6', '9':
		return 'g', true
	case '7', '+':
		return 't', true
	case '8':
		return 'b', true
	}
	return r, false
}

// folder takes from texts what words can be hidden by. It is never changed.
type folder struct{ alike map[rune]string }

// fold decomposes, lowers, and takes marks and invisible characters out.
func (f *folder) fold(s string) []rune {
	var out []rune
	for _, r := range norm.NFKD.String(strings.ToValidUTF8(s, " ")) {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf), invisible(r):
			continue
		case r >= 0x1F1E6 && r <= 0x1F1FF: // flags' letters
			r = 'a' + r - 0x1F1E6
		case r >= 0x1F150 && r <= 0x1F169: // in circles
			r = 'a' + r - 0x1F150
		case r >= 0x1F170 && r <= 0x1F189: // in squares
			r = 'a' + r - 0x1F170
		}
		r = unicode.ToLower(r)
		if latin, ok := f.alike[r]; ok {
			out = append(out, []rune(latin)...)
			continue
		}
		out = append(out, r)
	}
	return out
}

func invisible(r rune) bool {
	switch r {
	case '\u115f', '\u1160', '\u3164', '\uffa0', '\u2800':
		return true
	}
	return false
}

// style is one way to read a text. A word is blocked if one of them shows it.
type style struct {
	leet   bool // signs and digits in words are letters; else they end words
	run    int  // three and more of a letter are so many
	joined bool // single letters one after another are a word
}

func styles() []style {
	return []style{
		{leet: true, run: 2}, {leet: true, run: 1}, {run: 2}, {run: 1},
		{leet: true, run: 2, joined: true}, {run: 2, joined: true},
	}
}

// read makes a folded text a line of words, with one space before, between and after them.
func (s style) read(text []rune) []rune {
	line := []rune{' '}
	singles := 0 // words of one letter at the end of line
	for len(text) > 0 {
		n := s.word(text)
		if n == 0 {
			text = text[1:]
			continue
		}
		word := s.spell(text[:n])
		text = text[n:]
		line = append(append(line, word...), ' ')
		if singles++; len(word) > 1 {
			line = s.join(line, singles-1, len(word)+1)
			singles = 0
		}
	}
	return s.join(line, singles, 0)
}

// word is the length of the word that text begins with.
func (s style) word(text []rune) int {
	for i, r := range text {
		_, sign := leet(r)
		letter, digit := unicode.IsLetter(r) || unicode.Is(unicode.Mc, r), unicode.IsDigit(r)
		switch {
		case s.leet && (letter || digit || sign):
		case !s.leet && (letter || digit) && digit == unicode.IsDigit(text[0]):
		default:
			return i
		}
	}
	return len(text)
}

// spell writes a word as the list has it. A number stays one.
func (s style) spell(word []rune) []rune {
	if !slices.ContainsFunc(word, func(r rune) bool { return !unicode.IsDigit(r) }) {
		return word
	}
	var out []rune
	same := 0 // letters at the end of out that are one
	for _, r := range word {
		if to, ok := leet(r); ok && s.leet {
			r = to
		}
		if r == 'l' { // as good as i: both look like 1
			r = 'i'
		}
		if len(out) > 0 && out[len(out)-1] == r {
			same++
		} else {
			same = 1
		}
		out = append(out, r)
		if same == 3 {
			out = out[:len(out)-3+s.run]
		} else if same > 3 {
			out = out[:len(out)-1]
		}
	}
	return out
}

// join makes one word of the last n words of line, of one letter each, if they are three or more. After them
// there are rest more runes.
func (s style) join(line []rune, n, rest int) []rune {
	if !s.joined || n < 3 {
		return line
	}
	end := len(line) - rest
	begin := end - 2*n
	var word []rune
	for i := range n {
		word = append(word, line[begin+2*i])
	}
	after := slices.Clone(line[end:])
	return append(append(append(line[:begin], s.spell(word)...), ' '), after...)
}

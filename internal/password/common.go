package password

import (
	_ "embed" // the words
	"strings"
	"unicode"
)

// The list is our own: a few hundred words that people are known to choose, in
// several languages, without their endings.
//
//go:embed words.txt
var wordList string

const (
	// commonParts is how many parts a password has at most that counts as common:
	// a word, a year and a mark.
	commonParts = 3
	minWord     = 3
	maxWord     = 32
	minRow      = 3
	maxDigits   = 4
)

// rows are the keys and characters that lie in a row; they count backwards too.
const rows = "abcdefghijklmnopqrstuvwxyz 0123456789012 qwertyuiop[] asdfghjkl;' zxcvbnm,./ qwertzuiopü asdfghjklöä yxcvbnm,.- azertyuiop qsdfghjklm wxcvbn " +
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/ 1q2w3e4r5t6y7u8i9o0p qazwsxedcrfvtgbyhnujmikolp q1w2e3r4t5y6u7i8o9p0 !@#$%^&*() !\"§$%&/()= " +
	"147258369 159753 741852963 789456123"

// judge says what passwords are common. It is immutable and safe for concurrent
// use.
type judge struct {
	words map[string]bool
	rows  [2]string // forwards and backwards
}

func newJudge() *judge {
	j := &judge{words: map[string]bool{}, rows: [2]string{rows, reverse(rows)}}
	for _, w := range strings.Fields(wordList) {
		j.words[w] = true
	}
	return j
}

// common reports whether a password is among the first that anybody guesses: it
// repeats a few characters, or is made of at most three parts of which each is
// a well-known word (upper case and "p@ssw0rd" do not help), a hint, characters in
// a row ("qwerty", "321", "1qaz"), a number of up to four digits, one character
// several times, or any one character.
func (j *judge) common(password string, hints map[string]bool) bool {
	plain := []rune(strings.ToLower(password))
	if period(plain) < min(MinRunes, len(plain)) {
		return true
	}
	return j.parts(plain[:min(len(plain), commonParts*maxWord)], hints) <= commonParts // what begins so is no better
}

// parts returns of how few parts the text can be made.
func (j *judge) parts(plain []rune, hints map[string]bool) int {
	forms := [][]rune{plain, unleet(plain, 'i'), unleet(plain, 'l')}
	best := make([]int, len(plain)+1)
	for i := 1; i <= len(plain); i++ {
		best[i] = best[i-1] + 1
		for from := max(0, i-maxWord); from < i-1; from++ {
			if best[from]+1 < best[i] && j.part(forms, from, i, hints) {
				best[i] = best[from] + 1
			}
		}
		if from := i - sameBefore(plain, i); best[from]+1 < best[i] {
			best[i] = best[from] + 1
		}
	}
	return best[len(plain)]
}

// part reports whether the characters from to are one part.
func (j *judge) part(forms [][]rune, from, to int, hints map[string]bool) bool {
	text := string(forms[0][from:to])
	if n := to - from; n <= maxDigits && strings.Trim(text, "0123456789") == "" {
		return true
	} else if n >= minRow && (strings.Contains(j.rows[0], text) || strings.Contains(j.rows[1], text)) {
		return true
	} else if n < minWord {
		return false
	}
	for _, form := range forms {
		if w := string(form[from:to]); j.words[w] || hints[w] {
			return true
		}
	}
	return false
}

// sameBefore counts how often the character before i stands there in a row.
func sameBefore(text []rune, i int) int {
	n := 1
	for n < i && text[i-1-n] == text[i-1] {
		n++
	}
	return n
}

// period returns the length of the shortest text whose repetition text is, cut
// off anywhere.
func period(text []rune) int {
	for p := 1; p < len(text); p++ {
		i := p
		for i < len(text) && text[i] == text[i-p] {
			i++
		}
		if i == len(text) {
			return p
		}
	}
	return len(text)
}

// unleet undoes what is written for letters; one is read as an i or an l.
func unleet(text []rune, one rune) []rune {
	plain := make([]rune, len(text))
	for i, r := range text {
		switch r {
		case '4', '@':
			r = 'a'
		case '8':
			r = 'b'
		case '3', '€':
			r = 'e'
		case '9', '6':
			r = 'g'
		case '1', '!', '|':
			r = one
		case '0':
			r = 'o'
		case '5', '$':
			r = 's'
		case '7', '+':
			r = 't'
		}
		plain[i] = r
	}
	return plain
}

// hintWords returns the hints, and the words in them, as they are looked up.
func hintWords(hints []string) map[string]bool {
	words := map[string]bool{}
	add := func(w string) {
		if n := len([]rune(w)); n >= minWord && n <= maxWord {
			words[w] = true
		}
	}
	for _, h := range hints {
		h = strings.ToLower(h)
		add(h)
		local, _, _ := strings.Cut(h, "@")
		add(local)
		for _, w := range strings.FieldsFunc(h, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }) {
			add(w)
		}
	}
	return words
}

func reverse(s string) string {
	var b strings.Builder
	runes := []rune(s)
	for i := len(runes) - 1; i >= 0; i-- {
		b.WriteRune(runes[i])
	}
	return b.String()
}

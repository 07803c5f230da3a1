package wordlist

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxFile  = 256 << 10 // bytes
	maxEntry = 100       // characters
)

// List is a list of blocked words. It is never changed.
type List struct {
	folder folder
	words  *automaton
	lines  int
}

// Parse reads a list: a word or a phrase on each line, with * before, after or both for parts of words; #
// begins a comment. Words of writing without spaces between words are always parts.
func Parse(file []byte) (*List, error) {
	if len(file) > maxFile {
		return nil, fmt.Errorf("wordlist: more than %d bytes", maxFile)
	}
	if !utf8.Valid(file) {
		return nil, fmt.Errorf("wordlist: not UTF-8")
	}
	l := &List{folder: folder{lookalikes()}, words: newAutomaton()}
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(file, []byte("\ufeff"))))
	lines.Buffer(nil, maxFile+1)
	for n := 1; lines.Scan(); n++ {
		entry, _, _ := strings.Cut(lines.Text(), "#")
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		if err := l.add(entry); err != nil {
			return nil, fmt.Errorf("wordlist: line %d: %w", n, err)
		}
		l.lines++
	}
	l.words.build()
	return l, lines.Err()
}

func (l *List) add(entry string) error {
	word, after := strings.CutSuffix(entry, "*")
	word, before := strings.CutPrefix(word, "*")
	switch {
	case strings.Contains(word, "*"):
		return fmt.Errorf("* stands at the beginning or at the end of a word")
	case utf8.RuneCountInString(word) > maxEntry:
		return fmt.Errorf("more than %d characters", maxEntry)
	}
	if strings.ContainsFunc(word, unspaced) {
		before, after = true, true
	}
	folded := l.folder.fold(word)
	for _, s := range styles()[:2] {
		pattern := s.read(folded)
		if len(pattern) < 3 || (before || after) && len(pattern) < 4 && !strings.ContainsFunc(word, unspaced) {
			return fmt.Errorf("there is too little of a word")
		}
		if before {
			pattern = pattern[1:]
		}
		if after {
			pattern = pattern[:len(pattern)-1]
		}
		l.words.add(pattern)
	}
	return nil
}

// unspaced reports whether a letter is of writing without spaces between words.
func unspaced(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// Blocks reports whether a text has one of the words.
func (l *List) Blocks(text string) bool {
	if l.lines == 0 {
		return false
	}
	folded := l.folder.fold(text)
	var before [][]rune
	for _, s := range styles() {
		line := s.read(folded)
		if slices.ContainsFunc(before, func(b []rune) bool { return slices.Equal(b, line) }) {
			continue
		}
		if l.words.found(line) {
			return true
		}
		before = append(before, line)
	}
	return false
}

// links counts what a reader's program makes a link of, or a reader types in.
func (l *List) links(text string) int {
	n := 0
	for word := range strings.FieldsFuncSeq(string(l.folder.fold(text)), func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("()<>[]{}\"',;", r) }) {
		if strings.Contains(word, "://") || strings.HasPrefix(word, "www.") || domain(word) {
			n++
		}
	}
	return n
}

// domain reports whether a word begins as a name does under one of the domains that are used most.
func domain(word string) bool {
	host, _, _ := strings.Cut(word, "/")
	host, _, _ = strings.Cut(host, ":")
	i := strings.LastIndexByte(strings.TrimRight(host, "."), '.')
	if i <= 0 || strings.Contains(host, "@") {
		return false
	}
	switch strings.TrimRight(host[i+1:], ".") {
	case "com", "net", "org", "info", "biz", "io", "me", "gg", "ly", "tv", "xyz", "top", "site", "online", "shop", "club", "link", "live", "app", "ru", "cn", "to":
		return true
	}
	return false
}

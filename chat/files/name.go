package files

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/rondo-chat/rondo/internal/picture"
)

const (
	maxName      = 120 // bytes
	maxExtension = 12
	noName       = "file"
)

// cleanName makes one line of what the client calls a file, without folders and without what
// turns text around: it is shown to others and proposed to their browsers.
func cleanName(s string) string {
	if len(s) > 4096 {
		s = s[len(s)-4096:]
	}
	s = strings.ToValidUTF8(s, "")
	s = norm.NFC.String(s[strings.LastIndexAny(s, `/\`)+1:])
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsGraphic(r), strings.ContainsRune(`"*:<>?|`, r):
			return -1
		}
		return r
	}, s)
	s = strings.TrimFunc(strings.Join(strings.Fields(s), " "), func(r rune) bool { return r == '.' || r == ' ' || unicode.IsMark(r) })
	if s == "" {
		return noName
	}
	return shorten(s)
}

// shorten keeps the extension.
func shorten(s string) string {
	if len(s) <= maxName {
		return s
	}
	stem, ext := extension(s)
	return cut(stem, maxName-len(ext)) + ext
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func extension(s string) (stem, ext string) {
	if i := strings.LastIndexByte(s, '.'); i > 0 && len(s)-i <= maxExtension {
		return s[:i], s[i:]
	}
	return s, ""
}

// nameAs gives a picture's name the extension of what it is now.
func nameAs(name, typ string) string {
	stem, _ := extension(name)
	return shorten(stem + map[string]string{picture.JPEG: ".jpg", picture.PNG: ".png", picture.GIF: ".gif"}[typ])
}

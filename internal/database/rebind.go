package database

import (
	"errors"
	"strconv"
	"strings"
)

// errUnclosed: the statement ends within a literal, a quoted name or a comment.
var errUnclosed = errors.New("database: the statement ends within quotes or a comment")

// rebind writes the placeholders of a statement as PostgreSQL has them (? → $1,
// $2, …) if numbered, and counts them. What stands in quotes or comments is
// left alone: 'text' (also E'text'), "name", -- line, /* comment, nested */,
// $tag$text$tag$.
func rebind(query string, numbered bool) (string, int, error) {
	var out strings.Builder
	n, copied := 0, 0
	for i := 0; i < len(query); {
		if query[i] == '?' {
			n++
			if numbered {
				out.WriteString(query[copied:i])
				out.WriteString("$" + strconv.Itoa(n))
				copied = i + 1
			}
			i++
			continue
		}
		next := skip(query, i)
		if next < 0 {
			return "", 0, errUnclosed
		}
		i = next
	}
	if copied == 0 {
		return query, n, nil
	}
	out.WriteString(query[copied:])
	return out.String(), n, nil
}

// skip returns the index after the token that begins at i, or -1 if it has no
// end.
func skip(q string, i int) int {
	switch c := q[i]; {
	case c == '\'':
		return skipQuoted(q, i+1, '\'', false)
	case c == '"', c == '`':
		return skipQuoted(q, i+1, c, false)
	case c == '-' && strings.HasPrefix(q[i:], "--"):
		if end := strings.IndexByte(q[i:], '\n'); end >= 0 {
			return i + end + 1
		}
		return len(q)
	case c == '/' && strings.HasPrefix(q[i:], "/*"):
		return skipComment(q, i+2)
	case c == '$':
		return skipDollar(q, i)
	case isWord(c):
		return skipWord(q, i)
	}
	return i + 1
}

// skipWord passes over a word, so that a $ or an E within one begins nothing; a
// word that is only E opens a literal with backslashes.
func skipWord(q string, i int) int {
	end := i
	for end < len(q) && (isWord(q[end]) || q[end] == '$') {
		end++
	}
	if (q[i:end] == "E" || q[i:end] == "e") && end < len(q) && q[end] == '\'' {
		return skipQuoted(q, end+1, '\'', true)
	}
	return end
}

// skipQuoted finds the closing quote; a doubled one is part of the text.
func skipQuoted(q string, i int, quote byte, backslash bool) int {
	for ; i < len(q); i++ {
		switch {
		case backslash && q[i] == '\\':
			i++
		case q[i] == quote && i+1 < len(q) && q[i+1] == quote:
			i++
		case q[i] == quote:
			return i + 1
		}
	}
	return -1
}

// skipComment finds the end of a comment; in PostgreSQL they nest.
func skipComment(q string, i int) int {
	for depth := 1; i < len(q); {
		switch {
		case strings.HasPrefix(q[i:], "*/"):
			i += 2
			if depth--; depth == 0 {
				return i
			}
		case strings.HasPrefix(q[i:], "/*"):
			depth++
			i += 2
		default:
			i++
		}
	}
	return -1
}

// skipDollar passes over $tag$…$tag$; any other $ is a character.
func skipDollar(q string, i int) int {
	end := i + 1
	for end < len(q) && isWord(q[end]) {
		end++
	}
	if end >= len(q) || q[end] != '$' || end > i+1 && q[i+1] >= '0' && q[i+1] <= '9' {
		return i + 1
	}
	tag := q[i : end+1]
	if closing := strings.Index(q[end+1:], tag); closing >= 0 {
		return end + 1 + closing + len(tag)
	}
	return -1
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

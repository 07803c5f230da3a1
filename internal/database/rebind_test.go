package database

import (
	"strings"
	"testing"
)

func TestRebind(t *testing.T) {
	cases := []struct {
		in, want string
		n        int
	}{
		{"", "", 0},
		{"SELECT 1", "SELECT 1", 0},
		{"?", "$1", 1},
		{"a = ? AND b = ?", "a = $1 AND b = $2", 2},
		{"? ? ? ? ? ? ? ? ? ? ?", "$1 $2 $3 $4 $5 $6 $7 $8 $9 $10 $11", 11},
		{"'?' ?", "'?' $1", 1},
		{"'it''s ?' ?", "'it''s ?' $1", 1},
		{`'a\' ?`, `'a\' $1`, 1},
		{`E'a\'?' ?`, `E'a\'?' $1`, 1},
		{`e'\\' ?`, `e'\\' $1`, 1},
		{`type'\' ?`, `type'\' $1`, 1}, // a word that only ends in e
		{`"?""?" ?`, `"?""?" $1`, 1},
		{"`?` ?", "`?` $1", 1},
		{"-- ?\n?", "-- ?\n$1", 1},
		{"? -- ?", "$1 -- ?", 1},
		{"1 - ?", "1 - $1", 1},
		{"/* ? */ ?", "/* ? */ $1", 1},
		{"/* /* ? */ ? */ ?", "/* /* ? */ ? */ $1", 1},
		{"1 / ?", "1 / $1", 1},
		{"$$ ? $$ ?", "$$ ? $$ $1", 1},
		{"$a$ ? $$ ? $a$ ?", "$a$ ? $$ ? $a$ $1", 1},
		{"a$b ? a$b ?", "a$b $1 a$b $2", 2}, // a $ within a name
		{"$1 ?", "$1 $1", 1},
		{"é? 'é?'", "é$1 'é?'", 1},
	}
	for _, c := range cases {
		got, n, err := rebind(c.in, true)
		if err != nil || got != c.want || n != c.n {
			t.Errorf("%q: %q, %d, %v; want %q, %d", c.in, got, n, err, c.want, c.n)
		}
		got, n, err = rebind(c.in, false)
		if err != nil || got != c.in || n != c.n {
			t.Errorf("%q not numbered: %q, %d, %v", c.in, got, n, err)
		}
	}
	for _, open := range []string{"'", "'a''", `E'\'`, `"`, "`", "/*", "/* /* */", "$$", "$a$ $b$", "? '?"} {
		if _, _, err := rebind(open, true); err == nil {
			t.Errorf("%q: no error", open)
		}
	}
}

// FuzzRebind: what comes out is what went in with each counted ? replaced, and a
// second pass finds nothing to replace.
func FuzzRebind(f *testing.F) {
	for _, s := range []string{"a = ? AND 'b?' = \"c?\"", "E'\\'?' ? -- ?", "/* /* ? */ */ ? $x$ ? $x$", "$$?$$", "`?`", "a$?$b?"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out, n, err := rebind(in, true)
		if err != nil {
			return
		}
		if strings.Count(in, "?")-strings.Count(out, "?") != n {
			t.Fatalf("%q became %q: %d placeholders", in, out, n)
		}
		same, m, err := rebind(in, false)
		if err != nil || same != in || m != n {
			t.Fatalf("%q not numbered: %q, %d, %v", in, same, m, err)
		}
		if n == 0 && out != in {
			t.Fatalf("%q became %q", in, out)
		}
	})
}

package redisstore

import "testing"

// FuzzEntry: whatever stands in a list is a message or an error.
func FuzzEntry(f *testing.F) {
	for _, s := range []string{"", "1\n2\n3\n1/c\n{}", "1\n2\n3\n1/c\n{\"text\":\"a\\nb\",\"off\":9}", "-1\n2\n3\n4\n{}", "1\n2\n3\n4\n[]", "18446744073709551616\n0\n0\n\n{}", "\n\n\n\n\n\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := parseEntry(s)
		if err == nil && s[0] == '-' {
			t.Errorf("%q is message %+v", s, m)
		}
		_, _ = parsePage([]any{int64(1), int64(0), "gen", "epoch", s})
		_, _ = parseAppend([]any{int64(0), s, "gen", "epoch"})
	})
}

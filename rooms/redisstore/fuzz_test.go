package redisstore

import "testing"

// FuzzEntry: an entry of a node's list is a seat and back, or nothing.
func FuzzEntry(f *testing.F) {
	for _, s := range []string{"", "/", "//", "r/1/s", "r/1/s/x", "r/1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if seat, ok := parseEntry(s); ok && entry(seat) != s {
			t.Errorf("%q became %q", s, entry(seat))
		}
	})
}

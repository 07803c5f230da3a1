package lab

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
)

// TestPreloadClock: a Redis has the clock that the test gives it.
func TestPreloadClock(t *testing.T) {
	c := NewClock(t)
	r := testenv.RedisWith(t, c.Env(), PreloadClock(t))
	if _, err := r.Do("SET", "key", "x", "PX", "30000"); err != nil {
		t.Fatal(err)
	}
	for _, by := range []time.Duration{0, -time.Minute, time.Minute} {
		if err := c.Jump(by); err != nil {
			t.Fatal(err)
		}
		got, err := r.Do("TIME")
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(got, "\n")
		sec, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Until(time.Unix(sec, 0)) - by; off < -20*time.Second || off > 5*time.Second {
			t.Errorf("the clock is wrong by %v instead of %v", off+by, by)
		}
		if n, err := r.Do("EXISTS", "key"); err != nil || (n == "1") != (by <= 0) {
			t.Errorf("%v: a key of 30 s: %s, %v", by, n, err)
		}
	}
}

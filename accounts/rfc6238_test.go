package accounts

import (
	"testing"
	"time"
)

// TestHOTP: RFC 4226, appendix D.
func TestHOTP(t *testing.T) {
	for i, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		if got := hotp([]byte("12345678901234567890"), uint64(i), 6); got != want {
			t.Errorf("counter %d: %s, want %s", i, got, want)
		}
	}
}

// TestTOTP: RFC 6238, appendix B, the vectors of SHA-1.
func TestTOTP(t *testing.T) {
	for at, want := range map[int64]string{
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		if got := hotp([]byte("12345678901234567890"), uint64(totpStep(time.Unix(at, 0))), 8); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
}

func TestMatchTOTP(t *testing.T) {
	key, now := []byte("12345678901234567890"), time.Unix(3000, 0) // step 100
	for step := int64(97); step <= 103; step++ {
		got, ok := matchTOTP(key, hotp(key, uint64(step), 6), now, 0)
		if want := step >= 99 && step <= 101; ok != want || ok && got != step {
			t.Errorf("step %d: %d, %t", step, got, ok)
		}
		if _, ok := matchTOTP(key, hotp(key, uint64(step), 6), now, step); ok {
			t.Errorf("step %d serves twice", step)
		}
	}
	for _, code := range []string{"", "0", "000000000", "۱۲۳۴۵۶", "\x00"} {
		if _, ok := matchTOTP(key, code, now, 0); ok {
			t.Errorf("%q is right", code)
		}
	}
}

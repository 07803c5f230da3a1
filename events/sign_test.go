package events_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/events"
)

func headers(list []events.Header) func(string) string {
	return func(name string) string {
		for _, h := range list {
			if h.Name == name {
				return h.Value
			}
		}
		return ""
	}
}

// TestSign checks against the example of the Standard Webhooks reference libraries.
func TestSign(t *testing.T) {
	secret, err := events.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	s, err := events.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	e := events.Event{ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Body: []byte(`{"test": 2432232314}`)}
	h := headers(s.Sign(e, time.Unix(1614265330, 0)))
	if got, want := h(events.HeaderSignature), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Fatalf("signature %s, want %s", got, want)
	}
	if events.FormatSecret(secret) != "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" {
		t.Fatal("a secret is not written as it was read")
	}
}

// TestVerify: either secret while one follows another; nothing else.
func TestVerify(t *testing.T) {
	older, newer, other := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32)
	s, err := events.NewSigner(newer, older)
	if err != nil {
		t.Fatal(err)
	}
	e, at := events.Event{ID: "c_1:7", Body: []byte(`{"id":"c_1:7"}`)}, time.Unix(1_800_000_000, 0)
	list := s.Sign(e, at)
	verify := func(secret []byte, h func(string) string, body string, now time.Time) error {
		return events.Verify(secret, h, []byte(body), now, 5*time.Minute)
	}
	for _, secret := range [][]byte{older, newer} {
		if err := verify(secret, headers(list), string(e.Body), at.Add(time.Minute)); err != nil {
			t.Error(err)
		}
	}
	swapped := func(name, value string) func(string) string {
		return func(n string) string {
			if n == name {
				return value
			}
			return headers(list)(n)
		}
	}
	for name, err := range map[string]error{
		"another secret": verify(other, headers(list), string(e.Body), at),
		"another body":   verify(newer, headers(list), string(e.Body)+" ", at),
		"too old":        verify(newer, headers(list), string(e.Body), at.Add(6*time.Minute)),
		"too new":        verify(newer, headers(list), string(e.Body), at.Add(-6*time.Minute)),
		"another id":     verify(newer, swapped(events.HeaderID, "c_1:8"), string(e.Body), at),
		"another time":   verify(newer, swapped(events.HeaderTimestamp, "1800000001"), string(e.Body), at),
		"no time":        verify(newer, swapped(events.HeaderTimestamp, "x"), string(e.Body), at),
		"no signature":   verify(newer, swapped(events.HeaderSignature, "v1, v2,AAAA"), string(e.Body), at),
	} {
		if !errors.Is(err, events.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecrets(t *testing.T) {
	for _, s := range []string{"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ", "whsec_*"} {
		if _, err := events.ParseSecret(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
	if _, err := events.NewSigner(); err == nil {
		t.Error("no secret is taken")
	}
	if _, err := events.NewSigner(make([]byte, 23)); err == nil {
		t.Error("a short secret is taken")
	}
}

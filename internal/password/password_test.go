package password

import (
	"context"
	"encoding/base64"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/argon2"

	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cheap is a Hasher that tests can afford to ask often.
func cheap(t testing.TB, cfg Config) *Hasher {
	t.Helper()
	if cfg.MemoryKiB == 0 {
		cfg.MemoryKiB, cfg.Passes = 64, 1
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHash(t *testing.T) {
	h, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("%s is below what OWASP asks for", hash)
	}
	parts := strings.Split(hash, "$")
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		t.Fatal(err)
	}
	raw := argon2.IDKey([]byte("correct horse"), salt, 2, 19456, 1, 32)
	if got := base64.RawStdEncoding.EncodeToString(raw); got != parts[5] {
		t.Errorf("hash %s, the plain function makes %s", parts[5], got)
	}
	for password, want := range map[string]bool{"correct horse": true, "Correct horse": false, "": false, "correct horse\x00": false} {
		if ok, rehash, err := h.Check(t.Context(), hash, password); ok != want || rehash || err != nil {
			t.Errorf("%q: %v, %v, %v", password, ok, rehash, err)
		}
	}
	if again, _ := h.Hash(t.Context(), "correct horse"); again == hash {
		t.Error("two hashes share a salt")
	}
}

// TestOneFormOfEachPassword: an é typed as one or as two code points.
func TestOneFormOfEachPassword(t *testing.T) {
	h := cheap(t, Config{})
	hash, err := h.Hash(t.Context(), "caf\u00e9 cr\u00e8me")
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, err := h.Check(t.Context(), hash, "cafe\u0301 cre\u0300me"); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestRehash(t *testing.T) {
	old, now := cheap(t, Config{}), cheap(t, Config{MemoryKiB: 128, Passes: 2})
	hash, err := old.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if ok, rehash, err := now.Check(t.Context(), hash, "correct horse"); !ok || !rehash || err != nil {
		t.Errorf("right: %v, %v, %v", ok, rehash, err)
	}
	if ok, rehash, err := now.Check(t.Context(), hash, "wrong"); ok || rehash || err != nil {
		t.Errorf("wrong: %v, %v, %v", ok, rehash, err)
	}
}

// TestStoredHashIsNotTrusted: a row that somebody changed takes no memory and
// makes no panic.
func TestStoredHashIsNotTrusted(t *testing.T) {
	h := cheap(t, Config{})
	salt, key := strings.Repeat("A", 22), strings.Repeat("A", 43)
	good := "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + key
	if _, _, err := h.Check(t.Context(), good, "x"); err != nil {
		t.Fatalf("%s: %v", good, err)
	}
	for _, bad := range []string{
		"", "x", "$2b$12$" + salt, strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=64", "m=4294967295", 1), strings.Replace(good, "m=64", "m=0", 1), strings.Replace(good, "m=64", "m=064", 1),
		strings.Replace(good, "t=1", "t=0", 1), strings.Replace(good, "t=1", "t=4000000000", 1), strings.Replace(good, "p=1", "p=0", 1),
		strings.Replace(good, "p=1", "p=255", 1), strings.Replace(good, "p=1", "p=1,x=2", 1), strings.Replace(good, "p=1", "p=-1", 1),
		good + "$", good + "=", good + strings.Repeat("A", 600), good[:len(good)-30], strings.Replace(good, salt, "", 1), strings.Replace(good, salt, salt[:21]+"B", 1),
	} {
		if ok, _, err := h.Check(t.Context(), bad, "x"); ok || err == nil {
			t.Errorf("%q: %v, %v", bad, ok, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=1,p=1$" + strings.Repeat("A", 22) + "$" + strings.Repeat("A", 43))
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := parse(s); err == nil && (p.String() != s || p.memory > maxMemoryKiB || p.passes > maxPasses || p.threads > maxThreads) {
			t.Errorf("%q: %+v", s, p)
		}
	})
}

// TestEnumerationByWork: for somebody who does not exist the same is computed.
// It compares work, not time: the memory that each takes from the heap.
func TestEnumerationByWork(t *testing.T) {
	h, err := New(Config{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	cost := func(f func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	known := cost(func() { _, _, _ = h.Check(context.Background(), hash, "wrong horse") })
	unknown := cost(func() {
		if err := h.CheckNobody(context.Background(), "wrong horse"); err != nil {
			t.Error(err)
		}
	})
	if known < 19<<20 || unknown < 19<<20 || max(known, unknown)-min(known, unknown) > 1<<20 {
		t.Errorf("a known user costs %d bytes, an unknown one %d", known, unknown)
	}
}

// blocked makes a Hasher whose workers are all taken until free is called.
func blocked(t *testing.T, cfg Config) (h *Hasher, free func()) {
	h = cheap(t, cfg)
	for range cap(h.free) {
		h.free <- struct{}{}
	}
	return h, func() {
		for range cap(h.free) {
			<-h.free
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	h, free := blocked(t, Config{Workers: 2, Queue: 8})
	var wg sync.WaitGroup
	var served, refused atomic.Int64
	for range 50 {
		wg.Go(func() {
			_, err := h.Hash(t.Context(), "correct horse")
			if err == nil {
				served.Add(1)
				return
			}
			e, ok := err.(*protocol.Error)
			if !ok || e.Code != protocol.CodeRateLimited || e.Retry <= 0 || e.Retry > time.Minute {
				t.Errorf("got %v", err)
			}
			refused.Add(1)
		})
	}
	for refused.Load() < 42 {
		runtime.Gosched()
	}
	free()
	wg.Wait()
	if served.Load() != 8 || refused.Load() != 42 {
		t.Errorf("served %d, refused %d", served.Load(), refused.Load())
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	h, free := blocked(t, Config{Workers: 1, Queue: 1})
	defer free()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.CheckNobody(ctx, "correct horse") }()
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("got %v", err)
	}
	if n := h.waiting.Load(); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

// TestWorkersAreBounded: never more hashes at once than workers.
func TestWorkersAreBounded(t *testing.T) {
	h := cheap(t, Config{Workers: 3, Queue: 1000})
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			if err := h.CheckNobody(t.Context(), "correct horse"); err != nil {
				t.Error(err)
			}
			if n := len(h.free); n > 3 {
				t.Errorf("%d at work", n)
			}
		})
	}
	wg.Wait()
}

func TestConfig(t *testing.T) {
	for _, cfg := range []Config{{MemoryKiB: 1 << 30}, {MemoryKiB: 4}, {Passes: 1000}, {Threads: 200}, {Workers: -1}, {Queue: -1}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

func TestAcceptable(t *testing.T) {
	hints := []string{"Ada.Lovelace@mail.example", "countess_ada", "Ada Lovelace"}
	for _, good := range []string{
		"correct horse battery staple", "tr0ub4dor&3x9", "Zug fährt um acht ab", "kP9#vL2m", "我喜欢在早上喝咖啡吃包子", "x7!Qbn-2", "seven purple kites 88",
		"mein vater fährt gern traktor", "lovelace invented the loop", strings.Repeat("kP9#vL2m", 1) + "zz", "пароль от почты бабушки", "👍🏽 naja gut, dann eben nicht",
	} {
		if err := Acceptable(good, hints...); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "kP9#vL2", "password", "Password1", "P@ssw0rd", "p@$$w0rd!", "passw0rd123", "password1234", "12345678", "123456789", "1234567890", "87654321",
		"11111111", "qwertyuiop", "qwerty123", "Qwerty123!", "1q2w3e4r", "1q2w3e4r5t", "1qaz2wsx", "!QAZ2wsx", "qazwsxedc", "zaq12wsx", "asdfghjkl", "asdf1234", "zxcvbnm1",
		"iloveyou", "ILoveYou2!", "iloveyou123", "sunshine", "Sunshine1", "princess", "princess1", "football", "Football99", "baseball1", "trustno1", "superman", "batman123",
		"Summer2024", "Summer2024!", "Winter2023!!", "Januar2025", "Sommer2026", "welcome1", "Welcome123", "We1come!", "1iverpoo1!", "W1nter2024", "letmein1", "admin123", "administrator", "changeme", "changeme1!",
		"abcd1234", "abc12345", "a1b2c3d4", "aaaaaaaa", "abababab", "abcabcabc", "xk3xk3xk3xk3", "passwordpassword", "Liverpool1", "Chelsea2012", "michael1", "jennifer", "jessica1",
		"monkey123", "dragon12", "hellokitty", "pokemon1", "starwars", "computer", "internet", "whatever", "Passwort1", "schatzi123", "motdepasse", "contraseña", "contrasena1",
		"19841984", "01012000", "24121990", "147258369", "159753159753", "00000000", "99999999", "correcthorsebatterystaple",
		"ada.lovelace", "AdaLovelace1", "countess_ada", "Lovelace1815", "ada.lovelace@mail.example", "C0untess_ada!",
		strings.Repeat("x9!f", 64) + "x", string([]byte{0xff, 0xfe, 'a', 'b', 'c', 'd', 'e', 'f', 'g'}), strings.Repeat("\U0001f44d", 1000),
	} {
		err := Acceptable(bad, hints...)
		if err == nil {
			t.Errorf("%q is accepted", bad)
		} else if err.Code != protocol.CodeBadRequest || (bad != "" && bad != "password" && strings.Contains(err.Msg, bad)) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAcceptableLengths(t *testing.T) {
	long := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteRune(rune('一' + i*37%9000))
		}
		return b.String()
	}
	for n, want := range map[int]bool{7: false, 8: true, 256: true, 257: false} {
		if err := Acceptable(long(n)); (err == nil) != want {
			t.Errorf("%d characters: %v", n, err)
		}
	}
}

// TestWordsCoverEndings counts what the list stands for: each word of at least
// four letters with each usual ending.
func TestWordsCoverEndings(t *testing.T) {
	j := newJudge()
	if len(j.words) < 600 {
		t.Fatalf("only %d words", len(j.words))
	}
	for w := range j.words {
		for _, end := range []string{"1", "12", "123", "1234", "!", "1!", "2024", "2024!", "2025!!", "007", "69", "...", "#1"} {
			upper := strings.ToUpper(w[:1]) + w[1:]
			if p := upper + end; !j.common(p, nil) {
				t.Errorf("%s is not refused", p)
			}
		}
	}
}

func FuzzAcceptable(f *testing.F) {
	f.Add("p@ssw0rd", "ada@example.org")
	f.Fuzz(func(t *testing.T, password, hint string) {
		began := time.Now()
		err := Acceptable(password, hint)
		if err != nil && err.Code != protocol.CodeBadRequest {
			t.Error(err)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// BenchmarkQueue is logins at once through the Hasher, three callers for each
// core and none refused, in turns with the bare function on each core without a
// queue. An operation is three hashes for each core, on both sides;
// the ratio is the median of all turns.
func BenchmarkQueue(b *testing.B) {
	h, err := New(Config{Queue: 1000})
	if err != nil {
		b.Fatal(err)
	}
	const each = 3
	cores := runtime.GOMAXPROCS(0)
	salt := make([]byte, saltBytes)
	b.ReportAllocs()
	var bare, queued time.Duration
	var ratios []float64
	for b.Loop() {
		one := timed(cores, func() {
			for range each {
				argon2.IDKey([]byte("correct horse"), salt, 2, 19456, 1, keyBytes)
			}
		})
		other := timed(cores*each, func() {
			if err := h.CheckNobody(context.Background(), "correct horse"); err != nil {
				b.Error(err)
			}
		})
		bare, queued, ratios = bare+one, queued+other, append(ratios, one.Seconds()/other.Seconds())
	}
	slices.Sort(ratios)
	hashes := float64(b.N * cores * each)
	b.ReportMetric(hashes/bare.Seconds(), "bare-hashes/s")
	b.ReportMetric(hashes/queued.Seconds(), "queued-hashes/s")
	b.ReportMetric(ratios[len(ratios)/2], "queued/bare")
}

// timed runs f at once so often and returns how long that takes.
func timed(n int, f func()) time.Duration {
	began := time.Now()
	var wg sync.WaitGroup
	for range n {
		wg.Go(f)
	}
	wg.Wait()
	return time.Since(began)
}

func BenchmarkAcceptable(b *testing.B) {
	for _, n := range []int{12, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Acceptable(strings.Repeat("kP9#vL2m-xQ7", 22)[:n], "ada.lovelace@mail.example")
			}
		})
	}
}

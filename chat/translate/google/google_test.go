package google

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/chat/translate"
	"github.com/rondo-chat/rondo/chat/translate/jsoncall"
	"github.com/rondo-chat/rondo/internal/outbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server speaks both contracts of Cloud Translation, and gives tokens.
type server struct {
	t        *testing.T
	url      string
	answer   atomic.Value // an http.HandlerFunc instead of a translation; nil: none
	tokens   atomic.Int64
	requests atomic.Int64
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/token" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":3600}`, s.tokens.Add(1))
		return
	}
	s.requests.Add(1)
	var in struct {
		Q, Contents                    []string
		Target, TargetLanguageCode     string
		Format, MimeType               string
		Source, SourceLanguageCode     string
		Key, Model, GlossaryConfig     string
		XGoogUserProject, Translations string
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil || r.Method != http.MethodPost || r.URL.RawQuery != "" {
		s.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	if answer, _ := s.answer.Load().(http.HandlerFunc); answer != nil {
		answer(w, r)
		return
	}
	texts, to := append(in.Q, in.Contents...), in.Target+in.TargetLanguageCode
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	switch runes := utf8.RuneCountInString(strings.Join(texts, "")); {
	case r.Header.Get("X-Goog-Api-Key") == "" && !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer token-"):
		v1(w, 401, "Request had invalid authentication credentials.", "UNAUTHENTICATED")
	case len(texts) > 128:
		v2(w, 400, "Too many text segments", "invalid")
	case runes > 30_000:
		v1(w, 400, "Text is too long.", "INVALID_ARGUMENT")
	case r.URL.Path == "/language/translate/v2" && in.Format == "text":
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"translations": result(texts, to, "translatedText", "detectedSourceLanguage")}})
	case r.URL.Path == "/v3/projects/p1/locations/global:translateText" && in.MimeType == "text/plain":
		_ = json.NewEncoder(w).Encode(map[string]any{"translations": result(texts, to, "translatedText", "detectedLanguageCode")})
	default:
		v1(w, 404, "Not found", "NOT_FOUND")
	}
}

func result(texts []string, to, text, from string) []map[string]string {
	var list []map[string]string
	for _, s := range texts {
		list = append(list, map[string]string{text: to + ":" + s, from: "en"})
	}
	return list
}

// v1 and v2 are the forms of Google's errors.
func v1(w http.ResponseWriter, code int, message, status string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": code, "message": message, "status": status}})
}

func v2(w http.ResponseWriter, code int, message, reason string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": code, "message": message,
		"errors": []map[string]string{{"message": message, "domain": "global", "reason": reason}}}})
}

func client(t *testing.T) *http.Client {
	t.Helper()
	d, err := outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, MaxBody: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	c := d.Client()
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func start(t *testing.T, s *server) *server {
	t.Helper()
	s.t = t
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	s.url = h.URL
	return s
}

// account makes a service account's key file.
func account(t *testing.T, tokens string) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "p1", "client_email": "a@p1.example", "token_uri": tokens,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// both makes a Provider of each kind.
func both(t *testing.T, s *server) []*Provider {
	t.Helper()
	c := client(t)
	two, err := NewV2(Config{Client: c, URL: s.url, Key: []byte("AIza-secret\n")})
	if err != nil {
		t.Fatal(err)
	}
	three, err := NewV3(Config{Client: c, URL: s.url, Key: account(t, s.url+"/token")})
	if err != nil {
		t.Fatal(err)
	}
	return []*Provider{two, three}
}

func TestTranslate(t *testing.T) {
	s := start(t, &server{})
	for _, p := range both(t, s) {
		in := []string{"hello", "a < b && \"c\" &lt; &#39;"}
		for range 2 {
			got, err := p.Translate(t.Context(), in, "", "de")
			want := []translate.Translation{{Text: "de:" + in[0], From: "en"}, {Text: "de:" + in[1], From: "en"}}
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%s: %v, %v", p.Name(), got, err)
			}
		}
		if got, err := p.Translate(t.Context(), []string{"x"}, "", "zh-Hant"); err != nil || got[0].Text != "zh-TW:x" {
			t.Errorf("%s: %v, %v", p.Name(), got, err)
		}
		if got, err := p.Translate(t.Context(), nil, "", "de"); err != nil || len(got) != 0 {
			t.Errorf("%s: nothing: %v, %v", p.Name(), got, err)
		}
	}
	if n := s.tokens.Load(); n != 1 {
		t.Errorf("%d tokens", n)
	}
	two, err := NewV2(Config{Client: client(t), URL: s.url, Key: account(t, s.url+"/token")})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := two.Translate(t.Context(), []string{"x"}, "", "de"); err != nil || got[0].Text != "de:x" {
		t.Errorf("v2 with a service account: %v, %v", got, err)
	}
}

// TestLimits: segments and code points of a request; nothing is lost or out of order.
func TestLimits(t *testing.T) {
	s := start(t, &server{})
	var many []string
	for i := range 300 {
		many = append(many, fmt.Sprint(i))
	}
	long := slices.Repeat([]string{strings.Repeat("я", 4000)}, 3)
	long = append(long, strings.Repeat("長", 16_000), "short")
	for _, p := range both(t, s) {
		for name, in := range map[string][]string{"segments": many, "code points": long} {
			s.requests.Store(0)
			got, err := p.Translate(t.Context(), in, "", "de")
			if err != nil || len(got) != len(in) {
				t.Fatalf("%s %s: %d, %v", p.Name(), name, len(got), err)
			}
			for i := range in {
				if got[i].Text != "de:"+in[i] {
					t.Fatalf("%s %s: %d is out of order", p.Name(), name, i)
				}
			}
			if n := s.requests.Load(); n < 3 || n > 5 {
				t.Errorf("%s %s: %d requests", p.Name(), name, n)
			}
		}
	}
}

// TestFailures: what the service says and what it means; never a text or a key in it.
func TestFailures(t *testing.T) {
	forms := func(code int, message, reason, status string) []http.HandlerFunc {
		return []http.HandlerFunc{
			func(w http.ResponseWriter, _ *http.Request) { v2(w, code, message, reason) },
			func(w http.ResponseWriter, _ *http.Request) { v1(w, code, message, status) },
		}
	}
	raw := func(code int, retry, body string) []http.HandlerFunc {
		return []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			if retry != "" {
				w.Header().Set("Retry-After", retry)
			}
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		}}
	}
	s := start(t, &server{})
	providers := both(t, s)
	for name, c := range map[string]struct {
		answers []http.HandlerFunc
		want    string
	}{
		"per minute":   {forms(403, "User Rate Limit Exceeded", "userRateLimitExceeded", "PERMISSION_DENIED"), "busy 0s"},
		"per day":      {forms(403, "Daily Limit Exceeded", "dailyLimitExceeded", "PERMISSION_DENIED"), "quota 0s"},
		"429":          {forms(429, "Quota exceeded for quota metric", "rateLimitExceeded", "RESOURCE_EXHAUSTED"), "busy 0s"},
		"429 later":    {raw(429, "30", ""), "busy 30s"},
		"503 later":    {raw(503, "3", ""), "busy 3s"},
		"language":     {forms(400, "Target language is invalid.", "invalid", "INVALID_ARGUMENT"), translate.ErrLanguage.Error()},
		"value":        {forms(400, "Invalid Value", "invalid", "INVALID_ARGUMENT"), translate.ErrLanguage.Error()},
		"wrong key":    {forms(400, "API key not valid. Please pass a valid API key.", "badRequest", "INVALID_ARGUMENT"), "google: status 400"},
		"too long":     {forms(400, "Text is too long for the target language.", "invalid", "INVALID_ARGUMENT"), "google: status 400"},
		"not enabled":  {forms(403, "Cloud Translation API has not been used in project 1 before or it is disabled.", "accessNotConfigured", "PERMISSION_DENIED"), "google: status 403"},
		"who":          {forms(401, "Request had invalid authentication credentials. secret-text", "unauthorized", "UNAUTHENTICATED"), "google: status 401"},
		"500":          {forms(500, "Backend Error", "backendError", "INTERNAL"), "google: status 500"},
		"HTML":         {raw(502, "", "<html>secret-text"), "google: status 502"},
		"no JSON":      {raw(200, "", "<html>secret-text"), "google: the answer of 17 bytes is not what was expected"},
		"cut JSON":     {raw(200, "", `{"data":{"tran`), "google: the answer of 14 bytes is not what was expected"},
		"nothing":      {raw(200, "", `{}`), "google: 0 translations of 1 texts"},
		"huge":         {raw(200, "", strings.Repeat(" ", 3<<20)), "google: " + outbound.ErrTooLarge.Error()},
		"redirect":     {[]http.HandlerFunc{http.RedirectHandler("http://169.254.169.254/", http.StatusFound).ServeHTTP}, "google: status 302"},
		"broken off":   {[]http.HandlerFunc{func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}, "google: EOF"},
		"another form": {raw(400, "", `{"error":"x"}`), "google: status 400"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, answer := range c.answers {
				s.answer.Store(answer)
				for _, p := range providers {
					_, err := p.Translate(t.Context(), []string{"secret-text"}, "", "de")
					got := fmt.Sprint(err)
					if busy, ok := errors.AsType[*translate.BusyError](err); ok {
						got = fmt.Sprint(map[bool]string{false: "busy ", true: "quota "}[busy.Quota], busy.Retry)
					}
					if got != c.want {
						t.Errorf("%s: %q, want %q", p.Name(), got, c.want)
					}
				}
			}
		})
	}
}

// TestTokenIsGotAnew: one that is refused is not used again.
func TestTokenIsGotAnew(t *testing.T) {
	s := start(t, &server{})
	p := both(t, s)[1]
	s.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { v1(w, 401, "revoked", "UNAUTHENTICATED") }))
	if _, err := p.Translate(t.Context(), []string{"x"}, "", "de"); err == nil {
		t.Fatal("translated")
	}
	s.answer.Store(http.HandlerFunc(nil))
	if _, err := p.Translate(t.Context(), []string{"x"}, "", "de"); err != nil || s.tokens.Load() != 2 {
		t.Errorf("%v, %d tokens", err, s.tokens.Load())
	}
}

// TestHang: who does not answer is left with the context.
func TestHang(t *testing.T) {
	s := start(t, &server{})
	s.answer.Store(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	for _, p := range both(t, s) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		began := time.Now()
		_, err := p.Translate(ctx, []string{"x"}, "", "de")
		cancel()
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 5*time.Second {
			t.Errorf("%s: %v after %v", p.Name(), err, took)
		}
	}
}

func TestNew(t *testing.T) {
	c := client(t)
	for name, make := range map[string]func() (*Provider, error){
		"no client":        func() (*Provider, error) { return NewV2(Config{Key: []byte("k")}) },
		"no key":           func() (*Provider, error) { return NewV2(Config{Client: c}) },
		"two lines":        func() (*Provider, error) { return NewV2(Config{Client: c, Key: []byte("a\nb")}) },
		"v3 by API key":    func() (*Provider, error) { return NewV3(Config{Client: c, Key: []byte("AIza")}) },
		"no account":       func() (*Provider, error) { return NewV3(Config{Client: c, Key: []byte(`{}`)}) },
		"an URL of a file": func() (*Provider, error) { return NewV2(Config{Client: c, Key: []byte("k"), URL: "file:///x"}) },
	} {
		if _, err := make(); err == nil {
			t.Errorf("made: %s", name)
		}
	}
	p, err := NewV3(Config{Client: c, Key: account(t, "https://x/token"), Project: "a/../b", Location: "eu/x"})
	if err != nil || p.path != "/v3/projects/a%2F..%2Fb/locations/eu%2Fx:translateText" || p.cfg.URL != endpoint {
		t.Errorf("%+v, %v", p, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"data":{"translations":[{"translatedText":"a","detectedSourceLanguage":"en"}]}}`), 1, 200)
	f.Add([]byte(`{"translations":[{"translatedText":"a","detectedLanguageCode":"en"},{}]}`), 2, 200)
	f.Add([]byte(`{"error":{"code":403,"message":"Daily Limit Exceeded","errors":[{"reason":"dailyLimitExceeded"}],"details":[{"reason":"x"}]}}`), 0, 403)
	f.Fuzz(func(t *testing.T, body []byte, n, status int) {
		n = min(max(n, 0), 1000)
		a := jsoncall.Answer{Body: body, Status: status}
		for _, decode := range []func(jsoncall.Answer, int) ([]translate.Translation, error){decodeV2, decodeV3} {
			if list, err := decode(a, n); err == nil && len(list) != n {
				t.Errorf("%d of %d", len(list), n)
			}
		}
		if failure(a, time.Now()) == nil {
			t.Error("no failure")
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add("a b c", 3)
	f.Fuzz(func(t *testing.T, s string, n int) {
		texts := strings.Split(strings.Repeat(s+" ", min(max(n, 0), 300)), " ")
		var again []string
		for _, part := range split(texts) {
			sum := utf8.RuneCountInString(strings.Join(part, ""))
			if len(part) == 0 || len(part) > maxTexts || len(part) > 1 && sum > maxRunes {
				t.Fatalf("%d texts, %d code points", len(part), sum)
			}
			again = append(again, part...)
		}
		if !slices.Equal(again, texts) {
			t.Error("something is lost")
		}
	})
}

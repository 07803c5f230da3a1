package libre

import (
	"context"
	"encoding/json"
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

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/chat/translate"
	"github.com/rondo-chat/rondo/chat/translate/jsoncall"
	"github.com/rondo-chat/rondo/internal/outbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server speaks LibreTranslate's contract: its JSON, its limits, its words for what is wrong.
type server struct {
	t         *testing.T
	key       string
	batch     int // limit of texts; 0: none
	chars     int // limit of characters; 0: none
	languages string
	answer    http.HandlerFunc // instead of all else
	requests  atomic.Int64
}

func (s *server) fail(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": text})
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/lt/languages" && r.Method == http.MethodGet && s.languages != "" {
		_, _ = w.Write([]byte(s.languages))
		return
	}
	s.requests.Add(1)
	var in struct {
		Q                      []string
		Source, Target, Format string
		Key                    string `json:"api_key"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil && r.Method == http.MethodPost || in.Q != nil && in.Format != "text" {
		s.t.Errorf("request: %v, %+v", err, in)
	}
	sum := len([]rune(strings.Join(in.Q, "")))
	switch {
	case s.answer != nil:
		s.answer(w, r)
	case r.URL.Path != "/lt/translate" || r.Method != http.MethodPost:
		http.NotFound(w, r)
	case s.key != "" && in.Key == "":
		s.fail(w, 400, "Please contact the server operator to get an API key")
	case in.Key != s.key:
		s.fail(w, 403, "Invalid API key")
	case s.batch > 0 && len(in.Q) > s.batch:
		s.fail(w, 400, fmt.Sprintf("Invalid request: request (%d) exceeds text limit (%d)", len(in.Q), s.batch))
	case s.chars > 0 && sum > s.chars:
		s.fail(w, 400, fmt.Sprintf("Invalid request: request (%d) exceeds text limit (%d)", sum, s.chars))
	case in.Target == "xx":
		s.fail(w, 400, "xx is not supported")
	default:
		s.translate(w, in.Q, in.Target)
	}
}

func (s *server) translate(w http.ResponseWriter, texts []string, to string) {
	var out struct {
		Text     []string         `json:"translatedText"`
		Detected []map[string]any `json:"detectedLanguage"`
	}
	for _, q := range texts {
		switch {
		case strings.HasPrefix(q, "klingon"):
			s.fail(w, 400, "tlh is not supported")
			return
		case strings.HasPrefix(q, "pair"):
			s.fail(w, 500, "Cannot translate text: 400 Bad Request: German (de) is not available as a target language from Esperanto (eo)")
			return
		}
		out.Text = append(out.Text, to+":"+q)
		out.Detected = append(out.Detected, map[string]any{"confidence": 90.0, "language": "en"})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

// open starts the server and makes a Provider of it.
func open(t *testing.T, s *server, cfg outbound.Config) *Provider {
	t.Helper()
	s.t = t
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	cfg.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	d, err := outbound.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	client := d.Client()
	t.Cleanup(client.CloseIdleConnections)
	p, err := New(Config{Client: client, URL: h.URL + "/lt/", Key: s.key})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const someLanguages = `[{"code":"en","name":"English","targets":["de","en"]},{"code":"de","name":"German","targets":["en"]},
 {"code":"zh-Hans","name":"Chinese","targets":[]},{"code":"zt","name":"Chinese (traditional)","targets":[]},{"code":"pt-BR","name":"Portuguese","targets":[]},{"code":"xx","name":"?"}]`

func texts(list []translate.Translation) []string {
	var all []string
	for _, t := range list {
		all = append(all, t.From+"|"+t.Text)
	}
	return all
}

func TestTranslate(t *testing.T) {
	p := open(t, &server{key: "secret-key", languages: someLanguages}, outbound.Config{})
	got, err := p.Translate(t.Context(), []string{"hello <b>", "a \"b\" & c"}, "", "de")
	if want := []string{"en|de:hello <b>", "en|de:a \"b\" & c"}; err != nil || !slices.Equal(texts(got), want) || p.Name() != "libre" {
		t.Fatalf("%q, %v", texts(got), err)
	}
	for to, want := range map[string]string{"zh": "zh-Hans", "zh-Hant": "zt", "pt": "pt-BR", "en": "en"} {
		if got, err := p.Translate(t.Context(), []string{"x"}, "", to); err != nil || got[0].Text != want+":x" {
			t.Errorf("to %s: %v, %v", to, got, err)
		}
	}
	if _, err := p.Translate(t.Context(), []string{"x"}, "", "fr"); !errors.Is(err, translate.ErrLanguage) {
		t.Errorf("a language that it does not have: %v", err)
	}
	if got, err := p.Translate(t.Context(), nil, "", "de"); err != nil || len(got) != 0 {
		t.Errorf("nothing: %v, %v", got, err)
	}
}

// TestOneBadText: those beside it are translated, with few requests.
func TestOneBadText(t *testing.T) {
	for _, bad := range []string{"klingon", "pair"} {
		s := &server{languages: someLanguages}
		p := open(t, s, outbound.Config{})
		list := []string{"a", "b", "c", bad, "d", "e"}
		got, err := p.Translate(t.Context(), list, "", "de")
		if want := []string{"en|de:a", "en|de:b", "en|de:c", "|", "en|de:d", "en|de:e"}; err != nil || !slices.Equal(texts(got), want) {
			t.Errorf("%s: %q, %v", bad, texts(got), err)
		}
		all := slices.Repeat([]string{bad}, 50)
		s.requests.Store(0)
		if got, err := p.Translate(t.Context(), all, "", "de"); err != nil || len(got) != 50 || s.requests.Load() > maxRequests {
			t.Errorf("only bad ones: %d, %v, %d requests", len(got), err, s.requests.Load())
		}
	}
}

// TestLimits: a server that takes little at once is asked for little.
func TestLimits(t *testing.T) {
	for _, s := range []*server{{batch: 2, languages: someLanguages}, {chars: 10, languages: someLanguages}} {
		got, err := open(t, s, outbound.Config{}).Translate(t.Context(), []string{"one", "two", "three", "four", "five"}, "", "de")
		if want := "en|de:one en|de:two en|de:three en|de:four en|de:five"; err != nil || strings.Join(texts(got), " ") != want {
			t.Errorf("%q, %v", texts(got), err)
		}
	}
}

// TestFailures: what the server says and what it means; never a text or the key in it.
func TestFailures(t *testing.T) {
	says := func(status int, header, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if header != "" {
				w.Header().Set("Retry-After", header)
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"429":           {says(429, "17", `{"error":"Slowdown: 20 per 1 minute"}`), "busy 17s"},
		"429 in HTML":   {says(429, "", `<html>`), "busy 0s"},
		"banned":        {says(403, "", `{"error":"Too many request limits violations"}`), "quota 0s"},
		"wrong key":     {says(403, "", `{"error":"Invalid API key"}`), "libre: status 403: it wants an API key, or another one"},
		"no key":        {says(400, "", `{"error":"Visit https://x to get an API key"}`), "libre: status 400: it wants an API key, or another one"},
		"500":           {says(500, "", `{"error":"out of memory: secret-text"}`), "libre: status 500"},
		"502":           {says(502, "", `<html>secret-text`), "libre: status 502"},
		"503":           {says(503, "5", ``), "busy 5s"},
		"404":           {says(404, "", `not here`), "libre: status 404"},
		"redirect":      {http.RedirectHandler("http://169.254.169.254/", http.StatusTemporaryRedirect).ServeHTTP, "libre: status 307"},
		"no JSON":       {says(200, "", `<html>secret-text`), "libre: the answer of 17 bytes is not what was expected"},
		"cut JSON":      {says(200, "", `{"translatedText":["a`), "libre: the answer of 21 bytes is not what was expected"},
		"another JSON":  {says(200, "", `{"translatedText":"a"}`), "libre: the answer of 22 bytes is not what was expected"},
		"too few texts": {says(200, "", `{"translatedText":[]}`), "libre: 0 translations of 1 texts"},
		"huge": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"translatedText":["`))
			for range 100 {
				_, _ = w.Write([]byte(strings.Repeat("x", 1000)))
			}
		}, "libre: " + outbound.ErrTooLarge.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, &server{key: "secret-key", languages: someLanguages, answer: c.answer}, outbound.Config{MaxBody: 10_000})
			_, err := p.Translate(t.Context(), []string{"secret-text"}, "", "de")
			got := fmt.Sprint(err)
			if busy, ok := errors.AsType[*translate.BusyError](err); ok {
				got = fmt.Sprint(map[bool]string{false: "busy ", true: "quota "}[busy.Quota], busy.Retry)
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestHang: who does not answer is left with the context, also when asked for languages.
func TestHang(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, s := range map[string]*server{"translate": {answer: hang, languages: someLanguages}, "languages": {answer: hang}} {
		p := open(t, s, outbound.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		start := time.Now()
		_, err := p.Translate(ctx, []string{"x"}, "", "de")
		cancel()
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > 5*time.Second {
			t.Errorf("%s: %v after %v", name, err, took)
		}
	}
}

// TestNoLanguages: a server that does not list them is asked all the same.
func TestNoLanguages(t *testing.T) {
	for _, languages := range []string{"", "nonsense", "[]", `[{"code":""}]`} {
		p := open(t, &server{languages: languages}, outbound.Config{})
		if got, err := p.Translate(t.Context(), []string{"x"}, "", "fr"); err != nil || got[0].Text != "fr:x" {
			t.Errorf("%q: %v, %v", languages, got, err)
		}
	}
}

func TestNew(t *testing.T) {
	for _, bad := range []Config{
		{URL: "https://x"}, {Client: http.DefaultClient}, {Client: http.DefaultClient, URL: "file:///etc/passwd"},
		{Client: http.DefaultClient, URL: "https://user:pw@x"}, {Client: http.DefaultClient, URL: "https://x?q"}, {Client: http.DefaultClient, URL: "https://"},
	} {
		if _, err := New(bad); err == nil {
			t.Errorf("made with %q", bad.URL)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"translatedText":["a"],"detectedLanguage":[{"confidence":1,"language":"en"}]}`), 1)
	f.Add([]byte(`{"translatedText":["a","b"],"detectedLanguage":{"language":"en"}}`), 2)
	f.Add([]byte(`[{"code":"de"}]`), 0)
	f.Add([]byte(`{"error":"Invalid API key"}`), 0)
	f.Fuzz(func(t *testing.T, body []byte, n int) {
		n = min(max(n, 0), 1000)
		a := jsoncall.Answer{Body: body, Status: 400}
		if list, err := decode(a, n); err == nil && len(list) != n {
			t.Errorf("%d of %d", len(list), n)
		}
		if codes, err := decodeLanguages(a); err == nil {
			if got, err := choose(codes, "de"); err == nil && !slices.Contains(codes, got) {
				t.Errorf("%q is not in the list", got)
			}
		}
		if failure(a, time.Now()) == nil {
			t.Error("no failure")
		}
	})
}

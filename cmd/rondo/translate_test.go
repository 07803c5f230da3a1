package main

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/metrics"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/server"
)

// openTranslatorOf opens what the settings say.
func openTranslatorOf(t *testing.T, args ...string) (*server.Conversations, error) {
	t.Helper()
	cfg, err := loadConfig(args, nil, io.Discard)
	if err != nil {
		return nil, err
	}
	n := &node{cfg: cfg, log: slog.New(slog.DiscardHandler), metrics: metrics.New("test")}
	t.Cleanup(n.close)
	c := &server.Conversations{}
	return c, n.openTranslator(nil, ratelimit.NewMemory(10), c)
}

// TestTranslateSettings: a LibreTranslate beside the node is used if the operator allows its address, and not else.
func TestTranslateSettings(t *testing.T) {
	libre := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/languages":
			_, _ = io.WriteString(w, `[{"code":"de"}]`)
		case !strings.Contains(string(body), `"api_key":"k-1"`):
			w.WriteHeader(http.StatusForbidden)
		default:
			_, _ = io.WriteString(w, `{"translatedText":["hallo"],"detectedLanguage":[{"language":"en"}]}`)
		}
	}))
	defer libre.Close()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("k-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--translate", "libre", "--translate-url", libre.URL, "--translate-key-file", key}
	if _, err := openTranslatorOf(t, args...); !errors.Is(err, errUsage) || !strings.Contains(err.Error(), "outbound-allow") {
		t.Errorf("not allowed: %v", err)
	}
	c, err := openTranslatorOf(t, append(args, "--outbound-allow", "127.0.0.1")...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Translator.Translate(t.Context(), "u_1", []protocol.ConvMessage{{Seq: 3, Rev: 4, Text: "hello"}}, "de")
	if err != nil || len(got) != 1 || got[0] != (protocol.ConvTranslation{Seq: 3, Rev: 4, From: "en", Text: "hallo"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if c, err := openTranslatorOf(t); err != nil || c.Translator != nil {
		t.Errorf("nobody: %v, %v", c, err)
	}
	if c, err := openTranslatorOf(t, "--translate", "google-v2", "--translate-key-file", key); err != nil || c.Translator == nil {
		t.Errorf("google-v2: %v", err)
	}
	if _, err := openTranslatorOf(t, "--translate", "google-v3", "--translate-key-file", key); !errors.Is(err, errUsage) {
		t.Errorf("google-v3 with an API key: %v", err)
	}
}

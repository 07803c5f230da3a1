package googleauth

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const scope = "https://www.googleapis.com/auth/cloud-translation"

// account makes a key file whose tokens come from uri.
func account(t *testing.T, uri string) ([]byte, *rsa.PublicKey) {
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
		"type": "service_account", "project_id": "p1", "client_email": "a@p1.example", "private_key_id": "k1", "token_uri": uri,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return file, &key.PublicKey
}

// TestToken: what is asked for is signed by the account's key, and asked for once while it is good.
func TestToken(t *testing.T) {
	var public *rsa.PublicKey
	var asked, life atomic.Int64
	life.Store(3600)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g := r.FormValue("grant_type"); g != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
			t.Errorf("grant type %q", g)
		}
		parts := strings.Split(r.FormValue("assertion"), ".")
		if len(parts) != 3 {
			t.Errorf("assertion %q", parts)
			return
		}
		sig, _ := base64.RawURLEncoding.DecodeString(parts[2])
		sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], sig); err != nil {
			t.Error(err)
		}
		raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
		var claims struct{ Iss, Scope, Aud string }
		if err := json.Unmarshal(raw, &claims); err != nil || claims.Iss != "a@p1.example" || claims.Scope != scope || !strings.HasPrefix(claims.Aud, "http://127.0.0.1") {
			t.Errorf("claims %s, %v", raw, err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"t%d","token_type":"Bearer","expires_in":%d}`, asked.Add(1), life.Load())
	}))
	defer s.Close()
	file, key := account(t, s.URL)
	public = key
	src, err := New(s.Client(), file, scope)
	if err != nil || src.Project() != "p1" || !IsKey(file) || IsKey([]byte("AIza")) {
		t.Fatal(err)
	}
	for _, want := range []string{"t1", "t1"} {
		if got, err := src.Token(t.Context()); got != want || err != nil {
			t.Fatalf("%q, %v, want %s", got, err, want)
		}
	}
	src.Forget()
	life.Store(5) // about to end
	for _, want := range []string{"t2", "t3"} {
		if got, err := src.Token(t.Context()); got != want || err != nil {
			t.Fatalf("%q, %v, want %s", got, err, want)
		}
	}
}

// TestNoToken: refusals, nonsense and silence are errors soon, without what was said.
func TestNoToken(t *testing.T) {
	var mode atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.FormValue("assertion") // only then the server sees that the other side has gone
		switch mode.Load() {
		case "refused":
			http.Error(w, `{"error":"invalid_grant","error_description":"secret-text"}`, http.StatusBadRequest)
		case "nonsense":
			_, _ = w.Write([]byte(`secret-text`))
		case "empty":
			_, _ = w.Write([]byte(`{}`))
		case "silent":
			<-r.Context().Done()
		}
	}))
	defer s.Close()
	file, _ := account(t, s.URL)
	src, err := New(s.Client(), file, scope)
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"refused", "nonsense", "empty", "silent"} {
		mode.Store(how)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if how == "silent" {
			ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
		}
		start := time.Now()
		got, err := src.Token(ctx)
		cancel()
		if got != "" || err == nil || strings.Contains(err.Error(), "secret-text") {
			t.Errorf("%s: %q, %v", how, got, err)
		}
		if took := time.Since(start); how == "silent" && took > 4*time.Second {
			t.Errorf("silence took %v", took)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	file, _ := account(t, "https://oauth2.example/token")
	var good map[string]string
	if err := json.Unmarshal(file, &good); err != nil {
		t.Fatal(err)
	}
	for field, bad := range map[string]string{
		"type": "authorized_user", "client_email": "", "token_uri": "file:///etc/passwd", "private_key": "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----",
	} {
		was := good[field]
		good[field] = bad
		b, _ := json.Marshal(good)
		if _, err := New(http.DefaultClient, b); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", field, err)
		}
		good[field] = was
	}
	if _, err := New(http.DefaultClient, []byte("secret")); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	if _, err := New(nil, file); err == nil {
		t.Error("no client")
	}
}

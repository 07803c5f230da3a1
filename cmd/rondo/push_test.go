package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/internal/outbound"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/metrics"
	"github.com/rondo-chat/rondo/protocol"
)

// pushNode is a node with these settings.
func pushNode(t *testing.T, args ...string) *node {
	t.Helper()
	cfg, err := loadConfig(args, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{cfg: cfg, log: slog.New(slog.DiscardHandler), metrics: metrics.New("test"), signer: testSigner(t), id: "n_1"}
	t.Cleanup(n.close)
	return n
}

// TestPushSettings: notifications are on unless they are switched off; all nodes have the same key.
func TestPushSettings(t *testing.T) {
	store := openChat(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
	keys := map[string]bool{}
	for range 2 {
		d, key, err := pushNode(t).openEvents(store)
		if err != nil || strings.Join(d.Names(), " ") != pushSink || len(key) != 87 {
			t.Fatalf("%v, %q", err, key)
		}
		keys[key] = true
	}
	if len(keys) != 1 {
		t.Errorf("keys %v", keys)
	}
	if d, key, err := pushNode(t, "--web-push=false").openEvents(store); err != nil || len(d.Names()) > 0 || key != "" {
		t.Errorf("off: %v, %q", err, key)
	}
	if _, _, err := pushNode(t, "--web-push-contact=ops").openEvents(store); !errors.Is(err, errUsage) || !strings.Contains(err.Error(), "web-push-contact") {
		t.Errorf("a contact that is none: %v", err)
	}
	for _, at := range []string{"https://meet.example.org", "http://meet.example.org", "http://localhost:8080"} { // which may be no contact
		if _, _, err := pushNode(t, "--public-url="+at, "--smtp=mail.example.org", "--smtp-from=rondo@example.org").openEvents(store); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// TestPush: what is said to somebody reaches their browser's push service, through database and outbox, until that does not
// know the browser any more.
func TestPush(t *testing.T) {
	var status, asked atomic.Int64
	status.Store(http.StatusCreated)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/bo" || len(body) != 86+256+16 || !strings.HasPrefix(r.Header.Get("Authorization"), "vapid t=") {
			t.Errorf("%s %s with %d bytes, %v", r.Method, r.URL, len(body), r.Header)
		}
		asked.Add(1)
		w.WriteHeader(int(status.Load()))
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	way, err := outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, HTTPSOnly: true, TLS: &tls.Config{RootCAs: roots}})
	if err != nil {
		t.Fatal(err)
	}
	store := openChat(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
	sub, key, err := pushNode(t, "--web-push-contact=mailto:ops@example.org").pushSubscription(store, way)
	if err != nil || key == "" {
		t.Fatal(err)
	}
	c := talking(t, store, pushSink)
	d, err := events.New(events.Config{Log: &outbox{store, "n_1"}, Sinks: []events.Subscription{sub}, Poll: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	d.Start()
	t.Cleanup(d.Close)

	bo := conversations.Caller{Principal: auth.Principal{Identity: "u_bo", Session: "s_bo", Roles: []auth.Role{auth.RoleUser}}, Name: "Bo"}
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	in := protocol.PushSubscription{Endpoint: server.URL + "/bo", Keys: protocol.PushKeys{
		P256dh: base64.RawURLEncoding.EncodeToString(own.PublicKey().Bytes()), Auth: base64.RawURLEncoding.EncodeToString(make([]byte, 16)),
	}}
	if _, err := c.Subscribe(t.Context(), bo, in); err != nil {
		t.Fatal(err)
	}
	entry, err := c.Create(t.Context(), ana(), protocol.ConvCreate{Kind: protocol.ConvDirect, With: "u_bo"})
	if err != nil {
		t.Fatal(err)
	}
	say(t, c, entry.ID, 1)
	testenv.Eventually(t, 30*time.Second, func() bool { return asked.Load() == 1 }, "a notification comes")
	status.Store(http.StatusGone)
	say(t, c, entry.ID, 1)
	testenv.Eventually(t, 30*time.Second, func() bool {
		list, err := c.Subscriptions(t.Context(), bo)
		return err == nil && len(list) == 0
	}, "a browser that is gone is forgotten")
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}

package server_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/protocol"
)

// TestCrossSiteWebSocket: a page of another site opens no socket with the cookies of
// its visitor, nor with a token that it has, in whatever form it says where it is from.
func TestCrossSiteWebSocket(t *testing.T) {
	w := newTown(t, 1, nil)
	a := w.register(0, "annie", "")
	url := w.nodes[0].url
	own := "http" + strings.TrimSuffix(strings.TrimPrefix(url, "ws"), "/ws")
	host := strings.TrimPrefix(own, "http://")
	name, _, _ := strings.Cut(host, ":")
	foreign := []string{
		"https://evil.example", "http://evil.example", "null", "http://" + name + ":1", "http://" + host + ".evil.example", "http://evil.example/" + host, "http://" + host + "@evil.example",
		"http://evil-" + host, own + "/path", own + "?x", "file://", "about:blank", "javascript:alert(1)", "chrome-extension://" + host, "ftp://" + host, "//" + host, host, own + " http://evil.example", own + ", http://evil.example", " ", "*",
	}
	bearer := "bearer." + a.AccessToken
	for form, header := range map[string]http.Header{
		"cookie":        {"Cookie": {"rondo=" + a.AccessToken}},
		"no cookie":     {},
		"authorization": {"Authorization": {"Bearer " + a.AccessToken}, "Cookie": {"rondo=" + a.AccessToken}},
		"subprotocol":   {"Sec-Websocket-Protocol": {protocol.Subprotocol + ", " + bearer}},
	} {
		for _, origin := range foreign {
			header.Set("Origin", origin)
			if status := upgrade(t, url, header); status != http.StatusForbidden {
				t.Errorf("%s from the origin %q: %d", form, origin, status)
			}
		}
		header["Origin"] = []string{own, "https://evil.example"}
		if status := upgrade(t, url, header); status != http.StatusForbidden {
			t.Errorf("%s from two origins: %d", form, status)
		}
		header["Origin"] = []string{own}
		if status := upgrade(t, url, header); status != http.StatusSwitchingProtocols {
			t.Errorf("%s from the own page: %d", form, status)
		}
	}
	// A cookie without an origin is a browser that hides where it is from.
	if status := upgrade(t, url, http.Header{"Cookie": {"rondo=" + a.AccessToken}}); status != http.StatusForbidden {
		t.Errorf("cookie without an origin: %d", status)
	}
	_, err := client.Dial(t.Context(), url, client.Options{Header: http.Header{"Cookie": {"rondo=" + a.AccessToken}, "Origin": {"https://evil.example"}}})
	if re, ok := errors.AsType[*client.RefusedError](err); !ok || re.Status != http.StatusForbidden {
		t.Errorf("by the SDK: %v", err)
	}
}

// upgrade asks for a WebSocket and returns the status of the answer.
func upgrade(t *testing.T, url string, header http.Header) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http"+strings.TrimPrefix(url, "ws"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-Websocket-Protocol": protocol.Subprotocol,
	} {
		if r.Header.Get(name) == "" {
			r.Header.Set(name, value)
		}
	}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

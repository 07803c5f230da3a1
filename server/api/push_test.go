package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/protocol"
)

// pushOf is what a browser would say of itself.
func pushOf(endpoint string) object {
	return object{"endpoint": endpoint, "keys": object{
		"p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", "auth": "BTBZMqHH6r4Tts7J_aSIgg",
	}}
}

// TestPushDevices: subscribed once, listed without secrets, by its owner only, and gone.
func TestPushDevices(t *testing.T) {
	w := newWhole(t)
	ann, bo := w.join("ann"), w.join("bob")
	var key pushKeyAnswer
	w.wants(http.StatusOK, &key, "GET", "/api/v1/push", nil, "")
	if key.Key != w.cfg.PushKey {
		t.Errorf("key %q", key.Key)
	}
	var first, again protocol.PushDevice
	w.wants(http.StatusOK, &first, "POST", "/api/v1/me/push", pushOf("https://push.example/ann"), ann.AccessToken)
	w.wants(http.StatusOK, &again, "POST", "/api/v1/me/push", pushOf("https://push.example/ann"), ann.AccessToken)
	list := w.send("GET", "/api/v1/me/push", nil, ann.AccessToken).Body.String()
	if first.ID != again.ID || strings.Count(list, first.ID) != 1 || strings.Contains(list, "https:") || strings.Contains(list, "BTBZ") {
		t.Errorf("%+v, %+v, listed %s", first, again, list)
	}
	if got := w.send("GET", "/api/v1/me/push", nil, bo.AccessToken).Body.String(); got != `{"devices":[]}` {
		t.Errorf("bo's: %s", got)
	}
	w.wants(http.StatusNotFound, nil, "DELETE", "/api/v1/me/push/"+first.ID, nil, bo.AccessToken)
	w.wants(http.StatusNoContent, nil, "DELETE", "/api/v1/me/push/"+first.ID, nil, ann.AccessToken)
	w.wants(http.StatusNotFound, nil, "DELETE", "/api/v1/me/push/"+first.ID, nil, ann.AccessToken)
	for _, body := range []object{
		pushOf("http://push.example/ann"), pushOf("https://push.example/" + strings.Repeat("a", 2048)), {"endpoint": "https://push.example/ann"},
		{"endpoint": "https://push.example/ann", "keys": "x"}, {"endpoint": "https://push.example/ann", "keys": object{}},
	} {
		w.wants(http.StatusBadRequest, nil, "POST", "/api/v1/me/push", body, ann.AccessToken)
	}
}

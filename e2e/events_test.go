package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/events/eventstest"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// receiver is a webhook that can be away.
type receiver struct {
	*httptest.Server
	got eventstest.Got

	mu   sync.Mutex
	away bool
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.away {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if body, err := io.ReadAll(req.Body); err == nil {
			r.got.Take(req.Header.Get, body)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) setAway(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

// TestEventsOut: what people say in a topic reaches the webhook of events-file, in order and signed, also what they
// said while it was away and the server was killed; what is said in a group does not.
func TestEventsOut(t *testing.T) {
	hook, dir := newReceiver(t), t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret := write("hook.secret", events.FormatSecret(eventstest.Secret()))
	file := write("events.yaml", fmt.Sprintf("sinks:\n- {name: hook, kind: webhook, url: %q, allow: [127.0.0.1], secret-files: [%s]}\n", hook.URL, secret))
	database := "sqlite:" + filepath.Join(dir, "rondo.db")
	s := newService(t, database)
	s.opts.Args = append(s.opts.Args, "--events-file", file, "--node", "n_one")
	n := s.node(t)
	ann := browser(t, n, 1, "ann")
	ann.join(s)
	topic := ann.begins("topic")
	group := ann.begins("group")
	say := func(text string, times int) {
		for i := range times {
			for _, room := range []protocol.RoomID{topic, group} {
				ann.wants(http.StatusOK, "POST", "/conversations/"+string(room)+"/messages", fields{"cid": fmt.Sprint(text, i), "text": fmt.Sprint(text, i)})
			}
		}
	}
	say("a", 5)
	testenv.Eventually(t, wait, func() bool { return hook.got.Distinct() >= 6 }, "the first events come")
	hook.setAway(true)
	say("b", 5)
	n.Kill()
	out, err := exec.Command(lab.Binary(t), "events", "list", "--database", database, "--secret-file", s.opts.Secret, "--events-file", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "hook") {
		t.Errorf("rondo events list: %v\n%s", err, out)
	}
	hook.setAway(false)
	n = s.node(t)
	ann.node = n
	say("c", 5)
	testenv.Eventually(t, wait, func() bool { return hook.got.Distinct() >= 16 }, "all events come")
	n.Stop(t, wait)
	hook.got.CheckRooms(t, []protocol.RoomID{topic}, 15)
}

// begins makes a conversation.
func (p *person) begins(kind string) protocol.RoomID {
	p.t.Helper()
	made := p.wants(http.StatusOK, "POST", "/conversations", fields{"kind": kind, "name": "a " + kind})
	id, _ := made.body["id"].(string)
	return protocol.RoomID(id)
}

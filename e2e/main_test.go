package e2e_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// wait is how long a test waits for what should happen at once.
const wait = 20 * time.Second

// within returns a context for one step of a test.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// next returns the client's next event of type E; others are skipped.
func next[E client.Event](t testing.TB, c *client.Client) E {
	t.Helper()
	return nextWhere(t, c, func(E) bool { return true })
}

// nextWhere returns the client's next event of type E that fits; others are skipped.
func nextWhere[E client.Event](t testing.TB, c *client.Client, fits func(E) bool) E {
	t.Helper()
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		select {
		case ev, ok := <-c.Events():
			if !ok {
				t.Fatalf("client %s ended: %v", c.Welcome().User.Name, c.Err())
			}
			if e, ok := ev.(E); ok && fits(e) {
				return e
			}
			t.Logf("%s skips %T %+v", c.Welcome().User.Name, ev, ev)
		case <-deadline.C:
			var e E
			t.Fatalf("client %s: no %T within %v", c.Welcome().User.Name, e, wait)
		}
	}
}

// find starts a search.
func find(t testing.TB, c *client.Client, f protocol.Find) {
	t.Helper()
	if _, err := c.Find(within(t, wait), f); err != nil {
		t.Fatalf("find: %v", err)
	}
}

// meet lets two clients find each other. They must be the only ones who search.
func meet(t testing.TB, a, b *client.Client) (fa, fb client.Found) {
	t.Helper()
	find(t, a, protocol.Find{})
	find(t, b, protocol.Find{})
	fa, fb = next[client.Found](t, a), next[client.Found](t, b)
	checkMatch(t, fa, fb)
	return fa, fb
}

// checkMatch checks that two Founds are the two sides of one match.
func checkMatch(t testing.TB, a, b client.Found) {
	t.Helper()
	if a.Room == "" || a.Room != b.Room || a.You != b.Peer.ID || b.You != a.Peer.ID || a.You == b.You ||
		a.Offerer == b.Offerer || a.Polite == a.Offerer || b.Polite == b.Offerer {
		t.Fatalf("not two sides of one match:\n%+v\n%+v", a, b)
	}
}

// say sends a chat message from one client and checks that both get it.
func say(t testing.TB, from, to *client.Client, room protocol.RoomID, text string) {
	t.Helper()
	sent, err := from.Chat(within(t, wait), room, text)
	if err != nil {
		t.Fatalf("chat: %v", err)
	}
	for _, c := range []*client.Client{from, to} {
		got := next[client.Chat](t, c)
		if got.Text != text || got.Off != sent.Off || got.Room != room {
			t.Fatalf("got %+v, sent %q as %d", got, text, sent.Off)
		}
	}
}

// contains reports whether the JSON object d has all of want somewhere.
func contains(d []byte, want map[string]any) bool {
	for k, v := range want {
		if !strings.Contains(string(d), fmt.Sprintf("%q:%v", k, v)) {
			return false
		}
	}
	return true
}

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// TestRedisStalls: while Redis does not answer, a call goes on, who asks for a
// match is told at once when to try again, and the node says that it is not ready;
// soon after it goes on, so does matching.
func TestRedisStalls(t *testing.T) {
	redis := testenv.Redis(t)
	n := lab.Start(t, lab.Options{Redis: redis.URL})
	ann, bo := n.Dial(t, 1, client.Options{Name: "Ann"}), n.Dial(t, 2, client.Options{Name: "Bo"})
	fa, _ := meet(t, ann, bo)
	cy, di := n.Dial(t, 3, client.Options{Name: "Cy"}), n.Dial(t, 4, client.Options{Name: "Di"})

	redis.Stall()
	open := func() bool { return strings.Contains(n.MetricsText(t), "\nrondo_redis_circuits_open 1\n") }
	testenv.Eventually(t, 15*time.Second, open, "the circuit opens")
	var took []time.Duration
	for range 3 {
		start := time.Now()
		_, err := cy.Find(within(t, wait), protocol.Find{})
		took = append(took, time.Since(start))
		shown, ok := errors.AsType[*protocol.Error](err)
		if !ok || shown.Code != protocol.CodeUnavailable || shown.Retry <= 0 || shown.Retry > 2*time.Second {
			t.Fatalf("find: %v (%+v), want unavailable and when to try again", err, shown)
		}
	}
	if slices.Sort(took); took[1] > 300*time.Millisecond {
		t.Errorf("people wait %v for a refusal", took)
	}
	signal(t, ann, bo, fa.Room, protocol.SignalOffer, `{"sdp":"during the stall"}`)
	body, status := n.Get(t, "http://"+n.Metrics+"/readyz")
	var ready struct{ Failing []string }
	if err := json.Unmarshal([]byte(body), &ready); err != nil || status != http.StatusServiceUnavailable || !slices.Contains(ready.Failing, "redis") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if !strings.Contains(n.Output(), "circuit open") {
		t.Error("the log does not say that the circuit opened")
	}

	redis.Continue()
	back := time.Now()
	for _, c := range []*client.Client{cy, di} {
		persist(t, func(ctx context.Context) error { _, err := c.Find(ctx, protocol.Find{}); return err })
	}
	checkMatch(t, next[client.Found](t, cy), next[client.Found](t, di))
	if took := time.Since(back); took > matchAgain {
		t.Errorf("matched %v after the stall, want less than %v", took, matchAgain)
	}
	testenv.Eventually(t, 5*time.Second, func() bool {
		_, status := n.Get(t, "http://"+n.Metrics+"/readyz")
		return status == http.StatusOK
	}, "the node is ready again")
}

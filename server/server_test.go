package server_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/chat"
	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/metrics"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
	"github.com/rondo-chat/rondo/server"
	"github.com/rondo-chat/rondo/signaling"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is n servers in this process that share their drivers.
func cluster(t *testing.T, n int) (urls []string) {
	t.Helper()
	for _, node := range nodes(t, n) {
		urls = append(urls, node.url)
	}
	return urls
}

// node is one of the servers, with what it takes to let it die.
type node struct {
	*server.Server
	url  string
	web  *httptest.Server
	dead *atomic.Bool // it reaches nobody
}

// nodes makes the servers of a cluster.
func nodes(t *testing.T, n int) []*node { return nodesWith(t, n, nil) }

// nodesWith makes servers whose settings change has a say in.
func nodesWith(t testing.TB, n int, change func(i int, cfg *server.Config)) (all []*node) {
	t.Helper()
	signer, err := auth.NewSigner([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	var net bus.Network
	queue, relations := matchmaking.NewMemoryQueue(), matchmaking.NewMemoryRelations()
	roomStore := rooms.NewMemory()
	chatStore, err := chat.NewMemory(chat.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	sessions := signaling.NewMemoryStore()
	for i := range n {
		dead := &atomic.Bool{}
		cfg := server.Config{
			Version: "test", Bus: mortalBus{net.Join(protocol.NodeID(fmt.Sprintf("n%d", i+1))), dead}, Signer: signer, Guests: auth.NewGuests(signer, time.Hour),
			Queue: queue, Relations: relations, Rooms: mortalRooms{roomStore, dead}, SessionStore: mortalSessions{sessions, dead}, Chat: chatStore,
			Health: metrics.NewHealth(metrics.HealthConfig{}), Sessions: signaling.Limits{PerAddress: -1, Upgrades: ratelimit.Rate{PerSecond: -1}},
		}
		if change != nil {
			change(i, &cfg)
		}
		s, err := server.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		web := httptest.NewServer(s.Handler())
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := s.Close(ctx); err != nil {
				t.Error("close:", err)
			}
			web.Close()
		})
		all = append(all, &node{s, "ws" + strings.TrimPrefix(web.URL, "http") + "/ws", web, dead})
	}
	return all
}

// user is a client whose events a test waits for one after another.
type user struct {
	*client.Client
	t *testing.T
}

func join(t *testing.T, url, name string) *user {
	t.Helper()
	c, err := client.Dial(t.Context(), url, client.Options{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &user{c, t}
}

// next returns the next event of type E; others are passed over.
func next[E client.Event](u *user) E {
	u.t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case ev, ok := <-u.Events():
			if !ok {
				u.t.Fatalf("%s ended: %v", u.Welcome().User.Name, u.Err())
			}
			if e, ok := ev.(E); ok {
				return e
			}
		case <-limit:
			var e E
			u.t.Fatalf("%s waited in vain for %T", u.Welcome().User.Name, e)
		}
	}
}

// pair lets two users meet and returns what each was told, the offerer first.
func pair(t *testing.T, a, b *user) (client.Found, client.Found) {
	t.Helper()
	for _, u := range []*user{a, b} {
		if _, err := u.Find(t.Context(), protocol.Find{}); err != nil {
			t.Fatal(err)
		}
	}
	fa, fb := next[client.Found](a), next[client.Found](b)
	if fa.Room != fb.Room || fa.Peer.ID != fb.You || fb.Peer.ID != fa.You || fa.Offerer == fb.Offerer || fa.Polite == fb.Polite {
		t.Fatalf("they disagree: %+v and %+v", fa, fb)
	}
	return fa, fb
}

func wantCode(t *testing.T, err error, code protocol.Code) {
	t.Helper()
	if got := protocol.CodeOf(err); got != code {
		t.Fatalf("got %q (%v), want %q", got, err, code)
	}
}

// everywhere runs a test on one node and across two.
func everywhere(t *testing.T, test func(t *testing.T, here, there string)) {
	t.Run("one node", func(t *testing.T) { u := cluster(t, 1); test(t, u[0], u[0]) })
	t.Run("two nodes", func(t *testing.T) { u := cluster(t, 2); test(t, u[0], u[1]) })
}

func TestTwoStrangersMeetSignalChatAndMoveOn(t *testing.T) {
	everywhere(t, func(t *testing.T, here, there string) {
		ann, bo := join(t, here, "Ann"), join(t, there, "Bo")
		fa, fb := pair(t, ann, bo)
		if fa.Peer.Name != "Bo" || fb.Peer.Name != "Ann" {
			t.Errorf("names %q and %q", fa.Peer.Name, fb.Peer.Name)
		}
		if err := ann.Signal(t.Context(), fa.Room, "", protocol.SignalOffer, map[string]string{"sdp": "v=0"}); err != nil {
			t.Fatal(err)
		}
		if sig := next[client.Signal](bo); sig.Kind != protocol.SignalOffer || string(sig.D) != `{"sdp":"v=0"}` || sig.From != fb.Peer.ID || sig.Room != fb.Room {
			t.Errorf("signal %+v", sig)
		}
		sent, err := bo.Chat(t.Context(), fb.Room, "hello")
		if err != nil || sent.Off != 1 {
			t.Fatalf("%+v, %v", sent, err)
		}
		for _, u := range []*user{ann, bo} {
			if m := next[client.Chat](u); m.Text != "hello" || m.From != fb.You || m.Name != "Bo" || m.Off != 1 {
				t.Errorf("chat %+v", m)
			}
		}
		cy := join(t, there, "Cy")
		if _, err := cy.Find(t.Context(), protocol.Find{}); err != nil {
			t.Fatal(err)
		}
		if _, err := ann.Next(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if left := next[client.PeerLeft](bo); left.Reason != protocol.LeaveNext || left.Room != fb.Room {
			t.Errorf("left %+v", left)
		}
		if f := next[client.Found](ann); f.Peer.Name != "Cy" || f.Room == fa.Room {
			t.Errorf("next is %+v", f)
		}
		wantCode(t, bo.Signal(t.Context(), fb.Room, "", protocol.SignalCandidate, struct{}{}), protocol.CodeStaleCall)
		_, err = bo.Chat(t.Context(), fb.Room, "still there?")
		wantCode(t, err, protocol.CodeForbidden)
	})
}

func TestNobodyReachesARoomFromOutside(t *testing.T) {
	everywhere(t, func(t *testing.T, here, there string) {
		ann, bo, eve := join(t, here, "Ann"), join(t, there, "Bo"), join(t, there, "Eve")
		fa, _ := pair(t, ann, bo)
		wantCode(t, eve.Signal(t.Context(), fa.Room, "", protocol.SignalOffer, struct{}{}), protocol.CodeStaleCall)
		wantCode(t, eve.Signal(t.Context(), fa.Room, "1", protocol.SignalOffer, struct{}{}), protocol.CodeStaleCall)
		_, err := eve.Chat(t.Context(), fa.Room, "hi")
		wantCode(t, err, protocol.CodeForbidden)
		_, err = eve.History(t.Context(), fa.Room, protocol.ChatQuery{})
		wantCode(t, err, protocol.CodeForbidden)
		_, err = eve.Join(t.Context(), fa.Room, "")
		if code := protocol.CodeOf(err); code != protocol.CodeNotFound {
			t.Errorf("a matched room answers a stranger with %q", code)
		}
		_, err = eve.Info(t.Context(), fa.Room)
		wantCode(t, err, protocol.CodeNotFound)
		wantCode(t, eve.Block(t.Context(), fa.Room, "1"), protocol.CodeNotFound)
		if _, err := bo.Chat(t.Context(), fa.Room, "only us"); err != nil {
			t.Fatal(err)
		}
		if m := next[client.Chat](ann); m.Text != "only us" || m.Off != 1 {
			t.Errorf("chat %+v", m)
		}
	})
}

func TestNamedRoom(t *testing.T) {
	everywhere(t, func(t *testing.T, here, there string) {
		ann, bo, cy := join(t, here, "Ann"), join(t, there, "Bo"), join(t, here, "Cy")
		room, err := ann.Create(t.Context(), protocol.RoomCreate{Name: "Monday", Capacity: 2, Passcode: "sesame"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ann.Chat(t.Context(), room.Room, "first"); err != nil {
			t.Fatal(err)
		}
		info, err := bo.Info(t.Context(), room.Room)
		if err != nil || info.Name != "Monday" || !info.Passcode || info.Members != 1 || info.Capacity != 2 {
			t.Fatalf("%+v, %v", info, err)
		}
		_, err = bo.Join(t.Context(), room.Room, "wrong")
		wantCode(t, err, protocol.CodePasscode)
		joined, err := bo.Join(t.Context(), room.Room, "sesame")
		if err != nil || len(joined.Peers) != 1 || joined.Peers[0].Name != "Ann" || len(joined.Chat.Messages) != 1 || joined.Chat.Messages[0].Text != "first" {
			t.Fatalf("%+v, %v", joined, err)
		}
		if p := next[client.PeerJoined](ann); p.Peer.Name != "Bo" || p.Peer.ID != joined.You {
			t.Errorf("joined %+v", p)
		}
		_, err = cy.Join(t.Context(), room.Room, "sesame")
		wantCode(t, err, protocol.CodeRoomFull)
		_, err = bo.Find(t.Context(), protocol.Find{})
		wantCode(t, err, protocol.CodeAlready)
		if _, err := bo.Rename(t.Context(), "Bob"); err != nil {
			t.Fatal(err)
		}
		if p := next[client.PeerUpdated](ann); p.Peer.Name != "Bob" {
			t.Errorf("updated %+v", p)
		}
		if err := bo.Leave(t.Context(), room.Room); err != nil {
			t.Fatal(err)
		}
		if p := next[client.PeerLeft](ann); p.Peer != joined.You || p.Reason != protocol.LeaveLeft {
			t.Errorf("left %+v", p)
		}
		again, err := cy.Join(t.Context(), room.Room, "sesame")
		if err != nil || again.You == joined.You {
			t.Fatalf("seat %q again, %v", again.You, err)
		}
		wantCode(t, ann.Signal(t.Context(), room.Room, joined.You, protocol.SignalOffer, struct{}{}), protocol.CodePeerGone)
	})
}

func TestALostSocketKeepsItsSeat(t *testing.T) {
	everywhere(t, func(t *testing.T, here, there string) {
		ann, bo := join(t, here, "Ann"), join(t, there, "Bo")
		fa, fb := pair(t, ann, bo)
		ann.Break()
		next[client.PeerReconnecting](bo)
		if err := bo.Signal(t.Context(), fb.Room, "", protocol.SignalCandidate, map[string]int{"n": 1}); err != nil {
			t.Fatal(err)
		}
		if back := next[client.PeerBack](bo); back.Peer != fa.You || back.Fresh {
			t.Errorf("back %+v", back)
		}
		if sig := next[client.Signal](ann); string(sig.D) != `{"n":1}` {
			t.Errorf("signal %+v", sig)
		}
	})
}

func TestWhoSaysByeIsGone(t *testing.T) {
	everywhere(t, func(t *testing.T, here, there string) {
		ann, bo := join(t, here, "Ann"), join(t, there, "Bo")
		pair(t, ann, bo)
		_ = ann.Close()
		if left := next[client.PeerLeft](bo); left.Reason != protocol.LeaveLeft {
			t.Errorf("left %+v", left)
		}
		// Bo is free again.
		cy := join(t, here, "Cy")
		pair(t, bo, cy)
	})
}

func TestTwoTabsOfOnePersonNeverMeet(t *testing.T) {
	urls := cluster(t, 1)
	ann := join(t, urls[0], "Ann")
	c, err := client.Dial(t.Context(), urls[0], client.Options{Name: "Ann too", Guest: ann.Welcome().Guest})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	tab := &user{c, t}
	if tab.Welcome().User.ID != ann.Welcome().User.ID {
		t.Fatal("the guest token did not make the second tab the same person")
	}
	for _, u := range []*user{ann, tab} {
		if _, err := u.Find(t.Context(), protocol.Find{}); err != nil {
			t.Fatal(err)
		}
	}
	bo := join(t, urls[0], "Bo")
	if _, err := bo.Find(t.Context(), protocol.Find{}); err != nil {
		t.Fatal(err)
	}
	if f := next[client.Found](ann); f.Peer.Name != "Bo" {
		t.Errorf("met %q", f.Peer.Name)
	}
}

func TestBlockedPeopleNeverMeetAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, here, there string) {
		ann, bo := join(t, here, "Ann"), join(t, there, "Bo")
		fa, _ := pair(t, ann, bo)
		if err := ann.Block(t.Context(), fa.Room, fa.Peer.ID); err != nil {
			t.Fatal(err)
		}
		if left := next[client.PeerLeft](bo); left.Reason != protocol.LeaveBlocked {
			t.Errorf("left %+v", left)
		}
		for _, u := range []*user{ann, bo} {
			if _, err := u.Find(t.Context(), protocol.Find{}); err != nil {
				t.Fatal(err)
			}
		}
		cy, dee := join(t, here, "Cy"), join(t, there, "Dee")
		for _, u := range []*user{cy, dee} {
			if _, err := u.Find(t.Context(), protocol.Find{}); err != nil {
				t.Fatal(err)
			}
		}
		met := map[string]bool{next[client.Found](ann).Peer.Name: true, next[client.Found](bo).Peer.Name: true}
		if !met["Cy"] || !met["Dee"] {
			t.Errorf("met %v", met)
		}
	})
}

func TestChatRetryGivesTheFirstAnswer(t *testing.T) {
	everywhere(t, func(t *testing.T, here, there string) {
		ann, bo := join(t, here, "Ann"), join(t, there, "Bo")
		fa, _ := pair(t, ann, bo)
		first, err := ann.ChatAs(t.Context(), fa.Room, protocol.ChatSend{CID: "x", Text: "one"})
		if err != nil {
			t.Fatal(err)
		}
		second, err := ann.ChatAs(t.Context(), fa.Room, protocol.ChatSend{CID: "x", Text: "one again"})
		if err != nil || second != first {
			t.Errorf("%+v, then %+v, %v", first, second, err)
		}
		if _, err := ann.Chat(t.Context(), fa.Room, "two"); err != nil {
			t.Fatal(err)
		}
		for want := 1; want <= 2; want++ {
			if m := next[client.Chat](bo); m.Off != uint64(want) || m.Text != []string{"one", "two"}[want-1] {
				t.Errorf("message %d is %+v", want, m)
			}
		}
	})
}

func TestBadWishesAreNamed(t *testing.T) {
	u := join(t, cluster(t, 1)[0], "Ann")
	for name, f := range map[string]protocol.Find{
		"pool":      {Pool: "nowhere"},
		"tags":      {Tags: []string{"a", "b", "c", "d"}},
		"languages": {Languages: []string{"en", "de", "fr"}},
		"trait":     {Trait: "unheard of"},
	} {
		_, err := u.Find(t.Context(), f)
		wantCode(t, err, protocol.CodeBadRequest)
		if !strings.Contains(err.Error(), name[:4]) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}

func TestEveryNodeCountsEverybody(t *testing.T) {
	urls := cluster(t, 2)
	ann := join(t, urls[0], "Ann")
	join(t, urls[1], "Bo")
	cy := join(t, urls[1], "Cy")
	_ = cy.Close()
	// Nodes tell each other every few seconds, and at once when they start.
	limit := time.After(15 * time.Second)
	for {
		stats, err := ann.Stats(t.Context())
		if err == nil && stats.Online == 2 && len(stats.Pools) == 3 {
			return
		}
		if err != nil && protocol.CodeOf(err) != protocol.CodeRateLimited {
			t.Fatal(err)
		}
		select {
		case <-limit:
			t.Fatalf("stats %+v", stats)
		case <-time.After(time.Second):
		}
	}
}

func TestTypingReachesTheOthersOnly(t *testing.T) {
	everywhere(t, func(t *testing.T, here, there string) {
		ann, bo := join(t, here, "Ann"), join(t, there, "Bo")
		fa, fb := pair(t, ann, bo)
		if err := ann.Typing(fa.Room, true); err != nil {
			t.Fatal(err)
		}
		if ev := next[client.Typing](bo); !ev.On || ev.From != fb.Peer.ID || ev.Room != fb.Room {
			t.Errorf("typing %+v", ev)
		}
	})
}

func TestHistoryHealsAGap(t *testing.T) {
	everywhere(t, func(t *testing.T, here, there string) {
		ann, bo := join(t, here, "Ann"), join(t, there, "Bo")
		fa, fb := pair(t, ann, bo)
		for _, text := range []string{"one", "two", "three"} {
			if _, err := ann.Chat(t.Context(), fa.Room, text); err != nil {
				t.Fatal(err)
			}
		}
		since := uint64(1)
		h, err := bo.History(t.Context(), fb.Room, protocol.ChatQuery{Since: &since})
		if err != nil || h.Off != 3 || h.More || len(h.Messages) != 2 || h.Messages[0].Text != "two" || h.Messages[1].Off != 3 {
			t.Errorf("%+v, %v", h, err)
		}
		for _, bad := range []protocol.ChatQuery{{Since: &since, Before: 3}, {Limit: protocol.MaxHistory + 1}} {
			_, err := bo.History(t.Context(), fb.Room, bad)
			wantCode(t, err, protocol.CodeBadRequest)
		}
	})
}

func TestBadRequestsAreNamed(t *testing.T) {
	urls := cluster(t, 1)
	ann, bo := join(t, urls[0], "Ann"), join(t, urls[0], "Bo")
	fa, _ := pair(t, ann, bo)
	long := strings.Repeat("a", protocol.MaxCandidateBytes)
	for name, tc := range map[string]struct {
		t    protocol.Type
		room protocol.RoomID
		d    any
		want protocol.Code
	}{
		"chat without cid":       {protocol.TypeChat, fa.Room, protocol.ChatSend{Text: "x"}, protocol.CodeBadRequest},
		"chat with a bad cid":    {protocol.TypeChat, fa.Room, protocol.ChatSend{CID: "a b", Text: "x"}, protocol.CodeBadRequest},
		"chat of blanks":         {protocol.TypeChat, fa.Room, protocol.ChatSend{CID: "a", Text: " \n "}, protocol.CodeBadRequest},
		"chat of 4,001":          {protocol.TypeChat, fa.Room, protocol.ChatSend{CID: "a", Text: strings.Repeat("a", 4001)}, protocol.CodeTooLarge},
		"room without mode":      {protocol.TypeRoomCreate, "", protocol.RoomCreate{Mode: "smell"}, protocol.CodeBadRequest},
		"room of one":            {protocol.TypeRoomCreate, "", protocol.RoomCreate{Capacity: 1}, protocol.CodeBadRequest},
		"room for a crowd":       {protocol.TypeRoomCreate, "", protocol.RoomCreate{Capacity: 7}, protocol.CodeBadRequest},
		"room while in a room":   {protocol.TypeRoomCreate, "", protocol.RoomCreate{}, protocol.CodeAlready},
		"room that is not there": {protocol.TypeRoomInfo, "nowhere", struct{}{}, protocol.CodeNotFound},
		"name of nothing":        {protocol.TypeUserUpdate, "", protocol.UserUpdate{Name: "  "}, protocol.CodeBadRequest},
		"call that flies":        {protocol.TypeCallState, "", protocol.CallState{State: "flying"}, protocol.CodeBadRequest},
		"search while in a room": {protocol.TypeMatchFind, "", protocol.Find{}, protocol.CodeAlready},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ann.Request(t.Context(), tc.t, tc.room, tc.d)
			for protocol.CodeOf(err) == protocol.CodeRateLimited { // the bucket is shared by the cases
				<-time.After(200 * time.Millisecond)
				_, err = ann.Request(t.Context(), tc.t, tc.room, tc.d)
			}
			wantCode(t, err, tc.want)
		})
	}
	wantCode(t, ann.Signal(t.Context(), fa.Room, "", "smoke", struct{}{}), protocol.CodeBadRequest)
	wantCode(t, ann.Signal(t.Context(), fa.Room, "", protocol.SignalCandidate, map[string]string{"c": long}), protocol.CodeTooLarge)
	wantCode(t, ann.Signal(t.Context(), fa.Room, fa.You, protocol.SignalHangup, struct{}{}), protocol.CodeBadRequest)
	wantCode(t, ann.Signal(t.Context(), fa.Room, "9", protocol.SignalHangup, struct{}{}), protocol.CodePeerGone)
}

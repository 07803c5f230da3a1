//go:build linux

package wire

import (
	"context"
	"fmt"
	"iter"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/chat"
	"github.com/rondo-chat/rondo/chat/live"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/metrics"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
	whole "github.com/rondo-chat/rondo/server"
	"github.com/rondo-chat/rondo/signaling"
)

// limits are the default ones but for what would refuse clients that all come from here.
func limits() signaling.Limits {
	never := ratelimit.Rate{PerSecond: -1}
	return signaling.Limits{PerAddress: -1, Upgrades: never, Bytes: never}
}

func newSigner() (*auth.Signer, error) { return auth.NewSigner([]byte(strings.Repeat("k", 32))) }

// serveRondo is the whole server, on memory.
func serveRondo(l net.Listener) error {
	signer, err := newSigner()
	if err != nil {
		return err
	}
	log, err := chat.NewMemory(chat.Retention{})
	if err != nil {
		return err
	}
	var net bus.Network
	s, err := whole.New(whole.Config{
		Version: "wire", Bus: net.Join("n1"), Signer: signer, Guests: auth.NewGuests(signer, time.Hour),
		Queue: matchmaking.NewMemoryQueue(), Relations: matchmaking.NewMemoryRelations(), Rooms: rooms.NewMemory(), Chat: log,
		Health: metrics.NewHealth(metrics.HealthConfig{}), Sessions: limits(), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		return err
	}
	if err := s.Start(context.Background()); err != nil {
		return err
	}
	return http.Serve(l, s.Handler())
}

// topicRoom is the conversation that all follow.
const topicRoom protocol.RoomID = "c_aaaaaaaaaaaaaaaaaaaaaaaaaa"

// topic is sessions that follow a conversation, without the record of what is said in it: what a
// message costs there does not depend on how many follow.
type topic struct {
	hub  *signaling.Hub
	live *live.Live
	seq  atomic.Uint64
}

// serveTopic lets all who come follow one conversation, and tells them what one of them says.
func serveTopic(l net.Listener) error {
	t := &topic{}
	signer, err := newSigner()
	if err != nil {
		return err
	}
	if t.live, err = live.New(live.Config{Node: "n1", Sessions: t, Notifier: t, Present: time.Hour, Heal: time.Hour, Registerer: prometheus.NewRegistry()}); err != nil {
		return err
	}
	t.live.Start(t)
	if t.hub, err = signaling.New(signaling.Config{
		Node: "n1", Signer: signer, Limits: limits(), Registerer: prometheus.NewRegistry(),
		Identify: func(context.Context, signaling.Request, protocol.Hello) (signaling.Identity, error) {
			return signaling.Identity{}, nil
		},
		Handlers: map[protocol.Type]signaling.Handler{
			protocol.TypeConvOpen: {Rate: ratelimit.Rate{PerSecond: -1}, Serve: t.open},
			protocol.TypeConvSend: {Rate: ratelimit.Rate{PerSecond: -1}, Serve: t.send},
		},
		Observer: t,
	}); err != nil {
		return err
	}
	return http.Serve(l, t.hub)
}

func (t *topic) open(ctx context.Context, s *signaling.Session, _ *protocol.Message) (any, error) {
	_, ok, err := t.live.Follow(ctx, live.Follower{Session: s.ID(), User: protocol.UserID(s.ID())}, protocol.Conversation{ID: topicRoom, Seq: t.seq.Load(), Kind: protocol.ConvTopic})
	if err == nil && !ok {
		err = fmt.Errorf("not followed")
	}
	return nil, err
}

func (t *topic) send(_ context.Context, _ *signaling.Session, m *protocol.Message) (any, error) {
	var in struct {
		Text string `json:"text"`
	}
	if err := m.Unmarshal(&in); err != nil {
		return nil, err
	}
	seq := t.seq.Add(1)
	return nil, t.live.Publish(protocol.ConvEvent{Room: topicRoom, Seq: seq, Message: &protocol.ConvMessage{Seq: seq, Rev: seq, Text: in.Text}})
}

// Push implements live.Sessions as the server does.
func (t *topic) Push(to iter.Seq[protocol.SessionID], p live.Push) {
	class := signaling.Ordered
	if p.Key != "" {
		class = signaling.Latest
	}
	frame := signaling.Prepare(signaling.Push{Type: p.Type, Room: p.Room, D: p.D, Class: class, Key: p.Key, Unstated: true})
	for id := range to {
		if s, ok := t.hub.Lookup(id); ok {
			s.PushFrame(frame)
		}
	}
}

// Notify implements live.Notifier.
func (t *topic) Notify(protocol.NodeID, string, []byte) error { return nil }

// Heads implements live.Record.
func (t *topic) Heads(context.Context, []protocol.RoomID) (map[protocol.RoomID]uint64, error) {
	return map[protocol.RoomID]uint64{topicRoom: t.seq.Load()}, nil
}

// SyncAll implements live.Record.
func (t *topic) SyncAll(context.Context, protocol.RoomID, uint64) ([]protocol.ConvEvent, error) {
	return nil, nil
}

// Mine implements live.Record.
func (t *topic) Mine(context.Context, protocol.UserID, int) ([]protocol.RoomID, error) {
	return nil, nil
}

// The topic is told of sessions.

func (t *topic) Opened(*signaling.Session)                            {}
func (t *topic) Away(*signaling.Session)                              {}
func (t *topic) Back(*signaling.Session, bool)                        {}
func (t *topic) Closed(s *signaling.Session, _ signaling.CloseReason) { t.live.Forget(s.ID()) }
func (t *topic) Restored(*signaling.Session, signaling.Restored)      {}
func (t *topic) Moved(*signaling.Session, protocol.NodeID)            {}

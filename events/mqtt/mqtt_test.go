package mqtt_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/events/eventstest"
	"github.com/rondo-chat/rondo/events/mqtt"
	"github.com/rondo-chat/rondo/internal/outbound"
	"github.com/rondo-chat/rondo/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sink(t testing.TB, addr string, allow ...string) *mqtt.Sink {
	t.Helper()
	d := eventstest.Way(t, allow...)
	s, err := mqtt.New(mqtt.Config{URL: "mqtt://" + addr, Signer: eventstest.Signer(t), Dial: d.DialContext, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// subscriber is a client with a lasting session.
type subscriber struct {
	got    *eventstest.Got
	client *paho.Client
}

// come connects: the session of the same name goes on.
func (s *subscriber) come(t testing.TB, addr string) {
	t.Helper()
	var raw net.Conn
	testenv.Eventually(t, 10*time.Second, func() (ok bool) {
		var err error
		raw, err = net.Dial("tcp", addr)
		return err == nil
	}, "the broker takes connections")
	s.client = paho.NewClient(paho.ClientConfig{
		Conn: packets.NewThreadSafeConn(raw),
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			s.got.Take(p.Packet.Properties.User.Get, p.Packet.Payload)
			return true, nil
		}},
	})
	forever := uint32(0xFFFFFFFF)
	hello := &paho.Connect{ClientID: "subscriber", KeepAlive: 30, Properties: &paho.ConnectProperties{SessionExpiryInterval: &forever}}
	if _, err := s.client.Connect(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	sub := &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "rondo/message/#", QoS: 1}}}
	if _, err := s.client.Subscribe(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
}

func (s *subscriber) leave() { _ = s.client.Disconnect(&paho.Disconnect{}) }

// TestOutage: a real Mosquitto goes away and comes back, and the node that serves it dies.
func TestOutage(t *testing.T) {
	broker := testenv.Mosquitto(t)
	s := &subscriber{got: &eventstest.Got{}}
	s.come(t, broker.Addr)
	eventstest.Outage{
		Sink: func(t testing.TB) events.Sink { return sink(t, broker.Addr, "127.0.0.1") },
		Stop: func() {
			broker.Stop()
			<-s.client.Done()
		},
		Start: func() {
			broker.Start()
			s.come(t, broker.Addr)
		},
		Got: s.got,
	}.Run(t)
	s.leave()
}

// TestNoWayInside: an address inside is reached only if it is allowed.
func TestNoWayInside(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = sink(t, l.Addr().String()).Deliver(t.Context(), []events.Event{{ID: "c_1:1", Body: []byte("{}")}})
	if !errors.Is(err, outbound.ErrRefused) {
		t.Fatal(err)
	}
}

// broker is what a broker says that refuses what comes.
type broker struct {
	code byte
	most uint32

	mu     sync.Mutex
	topics []string
}

func (b *broker) serve(c net.Conn) {
	defer c.Close()
	for {
		p, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		switch m := p.Content.(type) {
		case *packets.Connect:
			ack := &packets.Connack{Properties: &packets.Properties{MaximumPacketSize: &b.most}}
			_, _ = ack.WriteTo(c)
		case *packets.Publish:
			b.mu.Lock()
			b.topics = append(b.topics, m.Topic)
			b.mu.Unlock()
			ack := &packets.Puback{PacketID: m.PacketID, ReasonCode: b.code, Properties: &packets.Properties{}}
			_, _ = ack.WriteTo(c)
		}
	}
}

// TestRefusals: reason codes and the size that a broker takes.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		code    byte
		size    int
		refused bool
	}{
		{0x10, 10, false}, // nobody listens: taken all the same
		{0x97, 10, false}, // quota
		{0x87, 10, false}, // not authorised: somebody's mistake
		{0x90, 10, true},
		{0x99, 10, true},
		{0x00, 100_000, true},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		b := &broker{code: c.code, most: 50_000}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if conn, err := l.Accept(); err == nil {
				b.serve(conn)
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		s := sink(t, l.Addr().String(), "127.0.0.1")
		n, err := s.Deliver(ctx, []events.Event{{ID: "c_1:1", Room: "c_1", Type: events.Message, Body: make([]byte, c.size)}})
		cancel()
		_, refused := errors.AsType[*events.Refused](err)
		if refused != c.refused || (n == 1) != (c.code < 0x80 && !c.refused) {
			t.Errorf("code 0x%02x, %d bytes: %d, %v", c.code, c.size, n, err)
		}
		s.Close()
		l.Close()
		<-done
		if len(b.topics) > 0 && b.topics[0] != "rondo/message/c_1" {
			t.Errorf("topics %q", b.topics)
		}
	}
}

func TestConfig(t *testing.T) {
	dial := (&net.Dialer{}).DialContext
	for _, c := range []mqtt.Config{
		{}, {URL: "http://h", Signer: eventstest.Signer(t), Dial: dial}, {URL: "mqtt://h", Dial: dial}, {URL: "mqtt://h", Signer: eventstest.Signer(t)},
		{URL: "mqtt://h", Signer: eventstest.Signer(t), Dial: dial, Topic: "a/#"},
	} {
		if _, err := mqtt.New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

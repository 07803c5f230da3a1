// Package mqtt publishes events to an MQTT 5 broker.
//
// It promises that an event counts as taken when the broker acknowledged it (QoS 1), and that
// the next one is sent only then: a subscriber gets them in order. A broker keeps them for
// subscribers with a session; without any subscriber it acknowledges and forgets.
package mqtt

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/rondo-chat/rondo/events"
)

// keepAlive is how often a connection without events is tried, in seconds.
const keepAlive = 20

// spare is what the packet of an event is longer than its body, in bytes, at most.
const spare = 2048

// Config says where events go. Zero fields have the defaults given.
type Config struct {
	URL      string // mqtt://[user@]host[:1883], mqtts://[user@]host[:8883]
	Password string
	Topic    string // {type} and {room} are filled in; rondo/{type}/{room}
	Retain   bool   // the broker keeps the last event of each topic
	Signer   *events.Signer
	Dial     events.Dial
	TLS      *tls.Config   // of mqtts; the system's roots
	Timeout  time.Duration // for connecting, and for one event; 10 s
}

// Sink is an MQTT broker. It connects when it has something to deliver.
type Sink struct {
	cfg    Config
	addr   string
	secure *tls.Config // nil: plain
	user   string
	conn   *connection // nil: none
}

// connection is a client and what its broker takes.
type connection struct {
	client *paho.Client
	raw    net.Conn
	most   uint32 // bytes of a packet; 0: no limit
}

var _ events.Sink = (*Sink)(nil)

// New returns a Sink that is not connected.
func New(cfg Config) (*Sink, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "mqtt" && u.Scheme != "mqtts" || u.Hostname() == "" {
		return nil, errors.New("mqtt: the URL must be mqtts://host or mqtt://host")
	}
	if cfg.Signer == nil || cfg.Dial == nil || cfg.Timeout < 0 {
		return nil, errors.New("mqtt: Config.Signer or Dial is missing, or Timeout negative")
	}
	if cfg.Topic == "" {
		cfg.Topic = "rondo/{type}/{room}"
	}
	if strings.ContainsAny(cfg.Topic, "#+\x00") || len(cfg.Topic) > 1024 {
		return nil, errors.New("mqtt: a topic has neither + nor #")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	s := &Sink{cfg: cfg, user: u.User.Username()}
	port := "1883"
	if u.Scheme == "mqtts" {
		port = "8883"
		s.secure = &tls.Config{}
		if cfg.TLS != nil {
			s.secure = cfg.TLS.Clone()
		}
		s.secure.ServerName = u.Hostname()
	}
	if u.Port() != "" {
		port = u.Port()
	}
	s.addr = net.JoinHostPort(u.Hostname(), port)
	return s, nil
}

// Deliver implements events.Sink.
func (s *Sink) Deliver(ctx context.Context, list []events.Event) (int, error) {
	if s.conn == nil {
		if err := s.connect(ctx); err != nil {
			return 0, err
		}
	}
	for i, e := range list {
		if i > 0 && !events.TimeFor(ctx, s.cfg.Timeout) {
			return i, nil
		}
		if err := s.publish(ctx, e); err != nil {
			return i, err
		}
	}
	return len(list), nil
}

// Close implements events.Sink.
func (s *Sink) Close() {
	if s.conn == nil {
		return
	}
	_ = s.conn.raw.SetDeadline(time.Now().Add(time.Second))
	_ = s.conn.client.Disconnect(&paho.Disconnect{})
	s.conn = nil
}

func (s *Sink) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	raw, err := s.cfg.Dial(ctx, "tcp", s.addr)
	if err != nil {
		return err
	}
	if s.secure != nil {
		secure := tls.Client(raw, s.secure)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return err
		}
		raw = secure
	}
	client := paho.NewClient(paho.ClientConfig{Conn: packets.NewThreadSafeConn(raw), PacketTimeout: s.cfg.Timeout})
	hello := &paho.Connect{ClientID: "rondo-" + rand.Text()[:16], KeepAlive: keepAlive, CleanStart: true}
	if s.user != "" {
		hello.Username, hello.UsernameFlag = s.user, true
		hello.Password, hello.PasswordFlag = []byte(s.cfg.Password), true
	}
	ack, err := client.Connect(ctx, hello) // closes raw if it fails
	if err != nil {
		_ = raw.Close()
		return err
	}
	s.conn = &connection{client: client, raw: raw}
	if ack.Properties != nil && ack.Properties.MaximumPacketSize != nil {
		s.conn.most = *ack.Properties.MaximumPacketSize
	}
	return nil
}

func (s *Sink) publish(ctx context.Context, e events.Event) error {
	if s.conn.most > 0 && len(e.Body)+spare > int(s.conn.most) {
		return &events.Refused{Reason: "larger than the broker takes"}
	}
	text := byte(1)
	m := &paho.Publish{
		QoS: 1, Retain: s.cfg.Retain, Topic: events.Fill(s.cfg.Topic, e), Payload: e.Body,
		Properties: &paho.PublishProperties{ContentType: "application/json", PayloadFormat: &text},
	}
	for _, h := range s.cfg.Signer.Sign(e, time.Now()) {
		m.Properties.User.Add(h.Name, h.Value)
	}
	answer, err := s.conn.client.Publish(ctx, m)
	if err == nil {
		return nil
	}
	if answer != nil && answer.ReasonCode >= 0x80 {
		return refusal(answer.ReasonCode)
	}
	s.Close() // what it knows of this event is of no use for the next connection
	return err
}

// refusal says what a reason code of PUBACK (MQTT 5, section 3.4.2.1) means.
func refusal(code byte) error {
	reason := fmt.Sprintf("reason code 0x%02x", code)
	switch code {
	case 0x90, 0x95, 0x99: // topic name, size, payload format
		return &events.Refused{Reason: reason}
	}
	return errors.New(reason)
}

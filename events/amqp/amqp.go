// Package amqp publishes events to RabbitMQ, or another broker of AMQP 0-9-1 with
// publisher confirms.
//
// It promises that an event counts as taken when the broker has confirmed it, persistent, after
// it went to a queue at least: one that no queue takes (mandatory) waits, and with it
// those after it. Up to Window events are on their way at once, on one channel, so that a
// queue gets them in order; after a failure it is one, until the broker takes them again.
package amqp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/rondo-chat/rondo/events"
)

// Window is how many events are sent before the first of them is confirmed.
const Window = 100

// Config says where events go. Zero fields have the defaults given.
type Config struct {
	URL      string // amqp://[user@]host[:5672][/vhost], amqps://…
	Password string // of the user; "guest" for guest
	Exchange string // declared: a durable topic exchange; rondo
	Key      string // routing key, {type} and {room} are filled in; {type}.{room}
	Signer   *events.Signer
	Dial     events.Dial
	TLS      *tls.Config   // of amqps; the system's roots
	Timeout  time.Duration // for connecting, and for what is on its way; 10 s
}

// Sink is a broker. It connects when it has something to deliver.
type Sink struct {
	cfg  Config
	url  string
	conn *connection // nil: none
}

type connection struct {
	raw      net.Conn
	client   *amqp091.Connection
	channel  *amqp091.Channel
	returned chan amqp091.Return
}

var _ events.Sink = (*Sink)(nil)

// New returns a Sink that is not connected.
func New(cfg Config) (*Sink, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "amqp" && u.Scheme != "amqps" || u.Hostname() == "" {
		return nil, errors.New("amqp: the URL must be amqps://host or amqp://host")
	}
	if cfg.Signer == nil || cfg.Dial == nil || cfg.Timeout < 0 {
		return nil, errors.New("amqp: Config.Signer or Dial is missing, or Timeout negative")
	}
	if user := u.User.Username(); cfg.Password != "" {
		u.User = url.UserPassword(user, cfg.Password)
	}
	defaultTo(&cfg.Exchange, "rondo")
	defaultTo(&cfg.Key, "{type}.{room}")
	defaultTo(&cfg.Timeout, 10*time.Second)
	if len(cfg.Exchange) > 127 || len(cfg.Key) > 127 {
		return nil, errors.New("amqp: the exchange or the routing key is longer than 127 bytes")
	}
	return &Sink{cfg: cfg, url: u.String()}, nil
}

func defaultTo[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Deliver implements events.Sink.
func (s *Sink) Deliver(ctx context.Context, list []events.Event) (int, error) {
	if s.conn != nil && s.conn.client.IsClosed() {
		s.Close()
	}
	if s.conn == nil {
		if err := s.connect(ctx); err != nil {
			return 0, err
		}
	}
	list = list[:min(len(list), Window)]
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	// A broker that is short of memory stops reading: only this ends a write then.
	raw := s.conn.raw
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	n, err := s.publish(ctx, list)
	if err != nil && !errors.Is(err, errUnrouted) {
		stop()
		s.Close()
	}
	return n, err
}

var (
	errUnrouted = errors.New("no queue takes it")
	errNack     = errors.New("the broker could not store it")
)

// publish sends the list and waits for the confirms.
func (s *Sink) publish(ctx context.Context, list []events.Event) (int, error) {
	var sent []*amqp091.DeferredConfirmation
	var failed error
	for _, e := range list {
		c, err := s.conn.channel.PublishWithDeferredConfirm(s.cfg.Exchange, events.Fill(s.cfg.Key, e), true, false, s.message(e))
		if err != nil {
			failed = err
			break
		}
		sent = append(sent, c)
	}
	unrouted := map[string]bool{}
	for i, c := range sent {
		acked, err := c.WaitContext(ctx)
		for len(s.conn.returned) > 0 { // a return comes before its confirm
			unrouted[(<-s.conn.returned).MessageId] = true
		}
		switch {
		case err != nil:
			return i, err
		case !acked:
			return i, errNack
		case unrouted[list[i].ID]:
			// The others' confirms come on this channel: the next Deliver begins without them.
			return i, errors.Join(errUnrouted, s.settle(ctx, sent[i+1:]))
		}
	}
	return len(sent), failed
}

// settle waits for the rest of what was sent.
func (s *Sink) settle(ctx context.Context, sent []*amqp091.DeferredConfirmation) error {
	for _, c := range sent {
		if _, err := c.WaitContext(ctx); err != nil {
			return err
		}
	}
	for len(s.conn.returned) > 0 {
		<-s.conn.returned
	}
	return nil
}

func (s *Sink) message(e events.Event) amqp091.Publishing {
	m := amqp091.Publishing{
		ContentType: "application/json", DeliveryMode: amqp091.Persistent, MessageId: e.ID, Type: string(e.Type),
		AppId: "rondo", Timestamp: time.UnixMilli(e.At), Body: e.Body, Headers: amqp091.Table{},
	}
	for _, h := range s.cfg.Signer.Sign(e, time.Now()) {
		m.Headers[h.Name] = h.Value
	}
	return m
}

// connect opens a channel with confirms and declares the exchange.
func (s *Sink) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	c := &connection{returned: make(chan amqp091.Return, Window)}
	client, err := amqp091.DialConfig(s.url, amqp091.Config{
		TLSClientConfig: s.cfg.TLS, Heartbeat: 10 * time.Second, Properties: amqp091.Table{"connection_name": "rondo"},
		Dial: func(network, addr string) (net.Conn, error) {
			raw, err := s.cfg.Dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			c.raw = raw
			return raw, raw.SetDeadline(time.Now().Add(s.cfg.Timeout)) // until it is open
		},
	})
	if err != nil {
		if c.raw != nil {
			_ = c.raw.Close()
		}
		return err
	}
	c.client = client
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
	defer stop()
	if err := s.open(c); err != nil {
		_ = client.CloseDeadline(time.Now().Add(time.Second))
		return err
	}
	s.conn = c
	return nil
}

func (s *Sink) open(c *connection) (err error) {
	if c.channel, err = c.client.Channel(); err != nil {
		return err
	}
	if err := c.channel.ExchangeDeclare(s.cfg.Exchange, "topic", true, false, false, false, nil); err != nil {
		return err
	}
	c.channel.NotifyReturn(c.returned)
	return c.channel.Confirm(false)
}

// Close implements events.Sink.
func (s *Sink) Close() {
	if s.conn != nil {
		_ = s.conn.client.CloseDeadline(time.Now().Add(time.Second)) // it may be closed already
		_ = s.conn.raw.Close()
		s.conn = nil
	}
}

package amqp_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/events/amqp"
	"github.com/rondo-chat/rondo/events/eventstest"
	"github.com/rondo-chat/rondo/internal/outbound"
	"github.com/rondo-chat/rondo/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sink(t testing.TB, addr string, allow ...string) *amqp.Sink {
	t.Helper()
	d := eventstest.Way(t, allow...)
	s, err := amqp.New(amqp.Config{
		URL: "amqp://guest@" + addr + "/", Password: "guest", Signer: eventstest.Signer(t), Dial: d.DialContext, Timeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// consumer reads a durable queue.
type consumer struct {
	got  *eventstest.Got
	conn *amqp091.Connection
	ch   *amqp091.Channel
	done chan struct{}
}

func (c *consumer) come(t testing.TB, addr string) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, func() (ok bool) {
		var err error
		c.conn, err = amqp091.Dial("amqp://guest:guest@" + addr + "/")
		return err == nil
	}, "the broker takes connections")
	var err error
	if c.ch, err = c.conn.Channel(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.ch.ExchangeDeclare("rondo", "topic", true, false, false, false, nil), c.bind()); err != nil {
		t.Fatal(err)
	}
	deliveries, err := c.ch.Consume("q", "", false, true, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.done = make(chan struct{})
	go c.read(deliveries, c.done)
}

func (c *consumer) bind() error {
	_, err := c.ch.QueueDeclare("q", true, false, false, false, nil)
	return errors.Join(err, c.ch.QueueBind("q", "message.#", "rondo", false, nil))
}

func (c *consumer) read(deliveries <-chan amqp091.Delivery, done chan struct{}) {
	defer close(done)
	for d := range deliveries {
		if err := d.Ack(false); err != nil {
			continue // it comes again
		}
		c.got.Take(func(name string) string { return fmt.Sprint(d.Headers[name]) }, d.Body)
	}
}

// TestRabbitMQ has one real server for all: its start takes seconds.
func TestRabbitMQ(t *testing.T) {
	broker := testenv.RabbitMQ(t)
	t.Run("unrouted", func(t *testing.T) { unrouted(t, broker) })
	t.Run("outage", func(t *testing.T) { outage(t, broker) })
}

// unrouted: what no queue takes waits for one, and nothing overtakes it.
func unrouted(t *testing.T, broker *testenv.Broker) {
	s := sink(t, broker.Addr, "127.0.0.1")
	list := []events.Event{
		{ID: "c_1:1", Room: "c_1", Type: events.Person, Body: []byte("{}")}, {ID: "c_1:2", Room: "c_1", Type: events.Person, Body: []byte("{}")},
	}
	for range 3 {
		if n, err := s.Deliver(t.Context(), list); n != 0 || err == nil || !strings.Contains(err.Error(), "no queue") {
			t.Fatalf("without a queue: %d, %v", n, err)
		}
	}
	conn, err := amqp091.Dial("amqp://guest:guest@" + broker.Addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare("people", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.QueueBind("people", "person.c_1", "rondo", false, nil); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Deliver(t.Context(), list); n != 2 || err != nil {
		t.Fatalf("with a queue: %d, %v", n, err)
	}
	for _, want := range list {
		d, ok, err := ch.Get("people", true)
		if err != nil || !ok || d.MessageId != want.ID || d.DeliveryMode != amqp091.Persistent {
			t.Fatalf("%v, %v: %+v", ok, err, d)
		}
	}
}

// outage: the server is killed and comes back, and the node that serves it dies.
func outage(t *testing.T, broker *testenv.Broker) {
	c := &consumer{got: &eventstest.Got{}}
	c.come(t, broker.Addr)
	eventstest.Outage{
		Sink: func(t testing.TB) events.Sink { return sink(t, broker.Addr, "127.0.0.1") },
		Stop: func() {
			broker.Kill() // what it confirmed is on disk
			<-c.done
		},
		Start: func() {
			broker.Start()
			c.come(t, broker.Addr)
		},
		Got: c.got,
	}.Run(t)
	c.conn.Close()
	<-c.done
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

// TestMuteServer: one that takes connections and says nothing holds nobody longer than the timeout.
func TestMuteServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, err := amqp.New(amqp.Config{
		URL: "amqp://" + l.Addr().String(), Signer: eventstest.Signer(t), Dial: (&net.Dialer{}).DialContext, Timeout: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := s.Deliver(t.Context(), []events.Event{{ID: "c_1:1"}}); err == nil || time.Since(start) > 5*time.Second {
		t.Fatalf("after %v: %v", time.Since(start), err)
	}
}

func TestConfig(t *testing.T) {
	dial := (&net.Dialer{}).DialContext
	for _, c := range []amqp.Config{
		{}, {URL: "http://h", Signer: eventstest.Signer(t), Dial: dial}, {URL: "amqp://h", Dial: dial}, {URL: "amqp://h", Signer: eventstest.Signer(t)},
		{URL: "amqp://h", Signer: eventstest.Signer(t), Dial: dial, Exchange: strings.Repeat("x", 128)},
	} {
		if _, err := amqp.New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

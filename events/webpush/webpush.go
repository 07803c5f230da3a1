package webpush

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/internal/outbound"
	"github.com/rondo-chat/rondo/protocol"
)

// TTL is how old a notification may become on its way, here or at a push service.
const TTL = 4 * time.Hour

const (
	maxFailed = 5     // refusals, one after the other, of a device that is forgotten then
	atOnce    = 32    // requests under way
	maxList   = 2_000 // pushes that are gathered before they are sent
	// patience is how long the first tries of what was gathered may begin; what is left then waits, so that many devices that hang
	// do not hold up everybody's next message.
	patience = 8 * time.Second
)

// Device is a browser that takes notifications.
type Device struct {
	ID   string
	User protocol.UserID
	protocol.PushSubscription
	Failed int
}

// Query asks for the devices of owner, moderators and members of a room, who did not write the message and have
// not read so far.
type Query struct {
	Room   protocol.RoomID
	Seq    uint64
	Author protocol.UserID
	Among  []protocol.UserID // only these people; none: all
}

// Devices is what is known of rooms and devices.
type Devices interface {
	// Room returns what the conversation is, "" if it is gone, and its name.
	Room(ctx context.Context, room protocol.RoomID) (protocol.ConvKind, string, error)
	// Names returns the names of members.
	Names(ctx context.Context, room protocol.RoomID, ids []protocol.UserID) (map[protocol.UserID]string, error)
	Of(ctx context.Context, q Query) ([]Device, error)
	// Still reports whether the device is still there, and the same person's.
	Still(ctx context.Context, d Device) (bool, error)
	Remove(ctx context.Context, id string) error
	SetFailed(ctx context.Context, id string, failed int) error
}

// Config says how notifications leave. Zero fields have the defaults given.
type Config struct {
	Devices Devices
	Key     *Key
	Contact string        // mailto:… or https://… of who runs the service; some push services (Apple's) want one
	Client  *http.Client  // of internal/outbound: endpoints are URLs of users
	Timeout time.Duration // for one notification; 5 s
	Delay   time.Duration // for who has the page open to read the message first; 2 s

	Logger     *slog.Logger          // discards by default
	Registerer prometheus.Registerer // nil: no metrics
}

// Sink sends notifications.
type Sink struct {
	cfg     Config
	metrics *metrics
	waiting *waiting
}

var _ events.Sink = (*Sink)(nil)

// New returns a Sink.
func New(cfg Config) (*Sink, error) {
	if cfg.Devices == nil || cfg.Key == nil || cfg.Client == nil || cfg.Timeout < 0 || cfg.Delay < 0 {
		return nil, errors.New("webpush: Config.Devices, Key or Client is missing, or Timeout or Delay negative")
	}
	if err := checkContact(cfg.Contact); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Delay == 0 {
		cfg.Delay = 2 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Sink{cfg: cfg}
	s.waiting = newWaiting(s)
	s.metrics = newMetrics(cfg.Registerer, s.waiting.len)
	return s, nil
}

// Close implements events.Sink. What waits is lost.
func (s *Sink) Close() {
	s.waiting.close()
	s.cfg.Client.CloseIdleConnections()
}

// place is what only the newest push counts for.
type place struct {
	device string
	room   protocol.RoomID
}

// Deliver implements events.Sink. Its errors are of Devices: what push services say is not the event's.
func (s *Sink) Deliver(ctx context.Context, list []events.Event) (int, error) {
	pushes := map[place]push{}
	n, err := 0, error(nil)
	for n < len(list) && (n == 0 || len(pushes) < maxList && events.TimeFor(ctx, 2*s.cfg.Timeout)) {
		if err = s.gather(ctx, list[n], pushes); err != nil {
			break
		}
		n++
	}
	if late := s.sendAll(ctx, pushes); late != nil {
		return 0, late
	}
	return n, err
}

// sendAll sends pushes side by side. What is not taken now waits; the error is that ctx ended meanwhile.
func (s *Sink) sendAll(ctx context.Context, pushes map[place]push) error {
	work, late := make(chan push), time.Now().Add(patience)
	var wait sync.WaitGroup
	for range min(atOnce, len(pushes)) {
		wait.Go(func() {
			for p := range work {
				if after, again := s.send(ctx, p); again {
					s.waiting.put(p, after)
				}
			}
		})
	}
	for _, p := range pushes {
		if ctx.Err() != nil {
			break
		}
		if s.waiting.has(p.to.ID) || time.Now().After(late) { // one that takes nothing at present must not hold up the others
			s.waiting.put(p, 0)
			continue
		}
		work <- p
	}
	close(work)
	wait.Wait()
	return ctx.Err()
}

// send sends one push and notes what came of it. again: it was not taken now; the push service asks for a pause.
func (s *Sink) send(ctx context.Context, p push) (after time.Duration, again bool) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	status, after, err := s.post(ctx, p)
	// Its note must not end with the request's time.
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timeout)
	defer done()
	switch {
	case errors.Is(err, outbound.ErrRefused) || errors.Is(err, errKeys):
		s.refused(ctx, p, "not to be reached")
	case err != nil:
		s.metrics.count(later)
		return 0, true
	case status >= 200 && status < 300:
		s.metrics.count(sent)
		if p.to.Failed > 0 {
			s.note(s.cfg.Devices.SetFailed(ctx, p.to.ID, 0))
		}
	case status == http.StatusNotFound || status == http.StatusGone:
		s.metrics.count(gone)
		s.note(s.cfg.Devices.Remove(ctx, p.to.ID))
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500:
		s.metrics.count(later)
		return after, true
	case status == http.StatusUnauthorized || status == http.StatusForbidden: // speaks of this service: its key, its clock, its contact
		s.metrics.count(unauthorized)
		s.cfg.Logger.Debug("webpush: a push service does not accept this service's signature", "status", status)
	default:
		s.refused(ctx, p, "status "+strconv.Itoa(status))
	}
	return 0, false
}

// refused notes that a device's push service did not want a push.
func (s *Sink) refused(ctx context.Context, p push, reason string) {
	s.metrics.count(refused)
	s.cfg.Logger.Debug("webpush: a notification was refused", "reason", reason) // users choose who answers: no flood
	s.failed(ctx, p.to)
}

// failed counts a notification that a device will not get; with too many it is forgotten.
func (s *Sink) failed(ctx context.Context, d Device) {
	if d.Failed+1 >= maxFailed {
		s.note(s.cfg.Devices.Remove(ctx, d.ID))
		return
	}
	s.note(s.cfg.Devices.SetFailed(ctx, d.ID, d.Failed+1))
}

func (s *Sink) note(err error) {
	if err != nil {
		s.cfg.Logger.Warn("webpush: the state of a device cannot be stored", "err", err)
	}
}

// post asks the push service to take a push: RFC 8030, section 5.
func (s *Sink) post(ctx context.Context, p push) (status int, after time.Duration, err error) {
	to, err := url.Parse(p.to.Endpoint)
	if err != nil || to.Scheme != "https" {
		return 0, 0, errKeys
	}
	body, err := encrypt(p.plain, p.to.Keys)
	if err != nil {
		return 0, 0, err
	}
	now := time.Now()
	authorization, err := s.cfg.Key.authorization(to, s.cfg.Contact, now)
	if err != nil {
		return 0, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.to.Endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, 0, errKeys
	}
	req.Header.Set("Authorization", authorization)
	req.Header.Set("Content-Encoding", "aes128gcm")
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("TTL", strconv.Itoa(max(0, int(p.until.Sub(now).Seconds()))))
	req.Header.Set("Topic", p.topic)
	req.Header.Set("Urgency", "high") // somebody waits for an answer
	resp, err := s.cfg.Client.Do(req)
	if err != nil {
		return 0, 0, outbound.Cause(err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can serve again
	_ = resp.Body.Close()
	return resp.StatusCode, events.RetryAfter(resp.Header.Get("Retry-After"), now), nil
}

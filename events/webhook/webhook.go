// Package webhook posts events to a URL, one at a time, in order.
//
// It promises that an event counts as taken when the receiver answered 2xx within
// Config.Timeout. 400, 410, 413 and 422 refuse it; every other answer, and none, is a
// reason to try again, not before what Retry-After asks for. A redirect is not followed.
package webhook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/internal/outbound"
)

// Config says where events go. Zero fields have the defaults given.
type Config struct {
	URL     string // https, or http to an address that Client may reach
	Signer  *events.Signer
	Client  *http.Client  // of internal/outbound: it decides what may be reached
	Timeout time.Duration // for one event; 10 s
}

// Sink is a webhook.
type Sink struct{ cfg Config }

var _ events.Sink = (*Sink)(nil)

// New returns a Sink.
func New(cfg Config) (*Sink, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, errors.New("webhook: the URL must be https://…")
	}
	if cfg.Signer == nil || cfg.Client == nil || cfg.Timeout < 0 {
		return nil, errors.New("webhook: Config.Signer or Client is missing, or Timeout negative")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	return &Sink{cfg: cfg}, nil
}

// Deliver implements events.Sink.
func (s *Sink) Deliver(ctx context.Context, list []events.Event) (int, error) {
	for i, e := range list {
		if i > 0 && !events.TimeFor(ctx, s.cfg.Timeout) {
			return i, nil
		}
		if err := s.post(ctx, e); err != nil {
			return i, err
		}
	}
	return len(list), nil
}

// Close implements events.Sink.
func (s *Sink) Close() { s.cfg.Client.CloseIdleConnections() }

func (s *Sink) post(ctx context.Context, e events.Event) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, bytes.NewReader(e.Body))
	if err != nil {
		return outbound.Cause(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "rondo-events")
	for _, h := range s.cfg.Signer.Sign(e, time.Now()) {
		req.Header.Set(h.Name, h.Value)
	}
	resp, err := s.cfg.Client.Do(req)
	if err != nil {
		return outbound.Cause(err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can serve again
	_ = resp.Body.Close()
	return judge(resp, time.Now())
}

// judge says what an answer means for the event.
func judge(resp *http.Response, now time.Time) error {
	reason := "status " + strconv.Itoa(resp.StatusCode)
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusBadRequest, code == http.StatusGone, code == http.StatusRequestEntityTooLarge, code == http.StatusUnprocessableEntity:
		return &events.Refused{Reason: reason}
	}
	return &events.Later{After: events.RetryAfter(resp.Header.Get("Retry-After"), now), Reason: reason}
}

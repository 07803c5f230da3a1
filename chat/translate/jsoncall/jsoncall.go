// Package jsoncall is what the drivers of translators do alike: JSON there and JSON back
// over an HTTP client of package outbound. No error holds what was sent.
package jsoncall

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/internal/outbound"
)

// Answer is what a server said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do asks by GET, or with in by POST.
func Do(ctx context.Context, client *http.Client, where string, header http.Header, in any) (Answer, error) {
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return Answer{}, errors.New("the request cannot be written")
		}
		method, body = http.MethodPost, bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, where, body)
	if err != nil {
		return Answer{}, outbound.Cause(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "Rondo")
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, outbound.Cause(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, outbound.Cause(err)
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: b}, nil
}

// RetryAfter reads the header of that name (RFC 9110, section 10.2.3); 0 if there is none.
func (a Answer) RetryAfter(now time.Time) time.Duration {
	v := a.Header.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// Decode reads the body of an answer of status 200.
func (a Answer) Decode(out any) error {
	if err := json.Unmarshal(a.Body, out); err != nil {
		return fmt.Errorf("the answer of %d bytes is not what was expected", len(a.Body))
	}
	return nil
}

// BaseURL checks a server's URL and gives it without a slash at the end.
func BaseURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", errors.New("the URL must be https://host or http://host, with a path or without, and without user, query and fragment")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

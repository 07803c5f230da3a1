// Package libre is a translate.Provider over LibreTranslate's HTTP interface
// (https://docs.libretranslate.com): POST /translate with an array of texts, GET /languages.
//
// One text that it cannot translate makes it refuse all of a request, so what it refuses is asked for
// in halves.
package libre

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rondo-chat/rondo/chat/translate"
	"github.com/rondo-chat/rondo/chat/translate/jsoncall"
)

const (
	languagesLast = time.Hour   // the list of languages is kept
	languagesWait = time.Minute // until it is asked for again if it cannot be had
	maxRequests   = 12          // for one call, refusals included
)

// Config is what a Provider needs.
type Config struct {
	Client *http.Client // required; see package outbound
	URL    string       // required: https://translate.example.org
	Key    string       // the server's API key; "": none
}

// Provider is a LibreTranslate server.
type Provider struct {
	cfg       Config
	languages atomic.Pointer[languages]
}

var _ translate.Provider = (*Provider)(nil)

// languages is what the server can translate into.
type languages struct {
	until time.Time
	codes []string // empty: not known
}

// New makes a Provider. It does not connect.
func New(cfg Config) (*Provider, error) {
	if cfg.Client == nil {
		return nil, errors.New("libre: Config.Client is missing")
	}
	base, err := jsoncall.BaseURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("libre: %w", err)
	}
	cfg.URL = base
	return &Provider{cfg: cfg}, nil
}

// Name implements translate.Provider.
func (*Provider) Name() string { return "libre" }

// Translate implements translate.Provider.
func (p *Provider) Translate(ctx context.Context, texts []string, from, to string) ([]translate.Translation, error) {
	target, err := p.target(ctx, to)
	if err != nil {
		return nil, err
	}
	if from == "" {
		from = "auto"
	}
	c := &call{p: p, from: from, to: target, left: maxRequests}
	return c.translate(ctx, texts)
}

// call is the requests for one Translate.
type call struct {
	p        *Provider
	from, to string
	left     int // requests
}

// translate asks for texts; those that are refused alone have no translation.
func (c *call) translate(ctx context.Context, texts []string) ([]translate.Translation, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	if c.left--; c.left < 0 {
		return make([]translate.Translation, len(texts)), nil
	}
	list, err := c.request(ctx, texts)
	switch {
	case !errors.Is(err, errRefused):
		return list, err
	case len(texts) == 1:
		return make([]translate.Translation, 1), nil
	}
	half := len(texts) / 2
	first, err := c.translate(ctx, texts[:half])
	if err != nil {
		return nil, err
	}
	second, err := c.translate(ctx, texts[half:])
	return append(first, second...), err
}

func (c *call) request(ctx context.Context, texts []string) ([]translate.Translation, error) {
	in := struct {
		Q      []string `json:"q"`
		Source string   `json:"source"`
		Target string   `json:"target"`
		Format string   `json:"format"`
		Key    string   `json:"api_key,omitempty"`
	}{texts, c.from, c.to, "text", c.p.cfg.Key}
	a, err := c.p.do(ctx, "/translate", in)
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusOK {
		return nil, failure(a, time.Now())
	}
	return decode(a, len(texts))
}

func (p *Provider) do(ctx context.Context, path string, in any) (jsoncall.Answer, error) {
	header := http.Header{"Accept-Language": {"en"}} // of the server's words, which failure reads
	a, err := jsoncall.Do(ctx, p.cfg.Client, p.cfg.URL+path, header, in)
	if err != nil {
		return a, fmt.Errorf("libre: %w", err)
	}
	return a, nil
}

// decode reads an answer of n translations.
func decode(a jsoncall.Answer, n int) ([]translate.Translation, error) {
	var out struct {
		Text     []string        `json:"translatedText"`
		Detected json.RawMessage `json:"detectedLanguage"`
	}
	if err := a.Decode(&out); err != nil {
		return nil, fmt.Errorf("libre: %w", err)
	}
	if len(out.Text) != n {
		return nil, fmt.Errorf("libre: %d translations of %d texts", len(out.Text), n)
	}
	var detected []struct {
		Language string `json:"language"`
	}
	_ = json.Unmarshal(out.Detected, &detected) // it need not be there, or of that form
	list := make([]translate.Translation, n)
	for i, s := range out.Text {
		list[i].Text = s
		if len(detected) == n {
			list[i].From = detected[i].Language
		}
	}
	return list, nil
}

// errRefused is for texts that cannot be translated: of a language that the server does not have, or
// more of them than it takes at once.
var errRefused = errors.New("libre: these texts are refused")

// failure says what an error of the server means.
func failure(a jsoncall.Answer, now time.Time) error {
	var out struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(a.Body, &out) // proxies before it answer in HTML
	switch {
	case a.Status == http.StatusTooManyRequests, a.Status == http.StatusServiceUnavailable && a.RetryAfter(now) > 0:
		return &translate.BusyError{Retry: a.RetryAfter(now)}
	case a.Status == http.StatusForbidden && strings.Contains(out.Error, "request limits"):
		return &translate.BusyError{Retry: a.RetryAfter(now), Quota: true}
	case strings.Contains(out.Error, "API key"):
		return fmt.Errorf("libre: status %d: it wants an API key, or another one", a.Status)
	case a.Status == http.StatusBadRequest && out.Error != "",
		a.Status == http.StatusInternalServerError && strings.HasPrefix(out.Error, "Cannot translate text"):
		return errRefused
	}
	return fmt.Errorf("libre: status %d", a.Status)
}

// target is what the server calls a language. What it has may be asked for only now and then.
func (p *Provider) target(ctx context.Context, to string) (string, error) {
	l := p.languages.Load()
	if l == nil || time.Now().After(l.until) {
		codes, err := p.list(ctx)
		if ctx.Err() != nil {
			return "", fmt.Errorf("libre: languages: %w", ctx.Err())
		}
		l = &languages{time.Now().Add(languagesLast), codes}
		if err != nil {
			l.until = time.Now().Add(languagesWait)
		}
		p.languages.Store(l)
	}
	if len(l.codes) == 0 {
		return to, nil // the server will say
	}
	return choose(l.codes, to)
}

func (p *Provider) list(ctx context.Context) ([]string, error) {
	a, err := p.do(ctx, "/languages", nil)
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusOK {
		return nil, failure(a, time.Now())
	}
	return decodeLanguages(a)
}

func decodeLanguages(a jsoncall.Answer) ([]string, error) {
	var out []struct {
		Code string `json:"code"`
	}
	if err := a.Decode(&out); err != nil {
		return nil, fmt.Errorf("libre: languages: %w", err)
	}
	var codes []string
	for _, l := range out {
		if l.Code != "" && len(l.Code) <= 35 && len(codes) < 1000 {
			codes = append(codes, l.Code)
		}
	}
	return codes, nil
}

// choose finds a language in the server's list, which has changed its names over time.
func choose(codes []string, to string) (string, error) {
	names := []string{to}
	switch to {
	case "zh":
		names = append(names, "zh-Hans")
	case "zh-Hant":
		names = append(names, "zt", "zh-TW")
	case "nb":
		names = append(names, "no")
	case "no":
		names = append(names, "nb")
	}
	for _, name := range names {
		if slices.Contains(codes, name) {
			return name, nil
		}
	}
	for _, code := range codes { // pt-BR for who has no pt
		if strings.HasPrefix(code, to+"-") && to != "zh" {
			return code, nil
		}
	}
	return "", translate.ErrLanguage
}

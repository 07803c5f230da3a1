// Package google is translate.Providers over Cloud Translation's REST interface:
// Basic (v2) with an API key or a service account, Advanced (v3) with a service account.
// (https://docs.cloud.google.com/translate/docs/reference/rest)
//
// Keys and tokens travel in headers, never in URLs.
package google

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rondo-chat/rondo/chat/translate"
	"github.com/rondo-chat/rondo/chat/translate/jsoncall"
	"github.com/rondo-chat/rondo/internal/googleauth"
)

const (
	endpoint = "https://translation.googleapis.com"
	scope    = "https://www.googleapis.com/auth/cloud-translation"

	// maxTexts is v2's limit; v3 takes 1,024. maxRunes is what both recommend at most; a longer text
	// is a request of its own, up to 30,000.
	maxTexts = 128
	maxRunes = 5_000
)

// Config is what a Provider needs.
type Config struct {
	Client   *http.Client // required; see package outbound
	Key      []byte       // required: an API key (v2), or the JSON file of a service account
	Project  string       // v3: project id or number; that of the key file
	Location string       // v3: "global"
	URL      string       // https://translation.googleapis.com
}

// Provider is one of the two.
type Provider struct {
	cfg     Config
	name    string
	path    string
	apiKey  string
	account *googleauth.Source
	encode  func(texts []string, from, to string) any
	decode  func(a jsoncall.Answer, n int) ([]translate.Translation, error)
}

var _ translate.Provider = (*Provider)(nil)

// NewV2 makes a Provider over Cloud Translation Basic. It does not connect.
func NewV2(cfg Config) (*Provider, error) {
	return build(&Provider{cfg: cfg, name: "google-v2", path: "/language/translate/v2", encode: encodeV2, decode: decodeV2})
}

// NewV3 makes a Provider over Cloud Translation Advanced. It does not connect.
func NewV3(cfg Config) (*Provider, error) {
	return build(&Provider{cfg: cfg, name: "google-v3", encode: encodeV3, decode: decodeV3})
}

func build(p *Provider) (*Provider, error) {
	if p.cfg.Client == nil {
		return nil, errors.New("google: Config.Client is missing")
	}
	if p.cfg.URL == "" {
		p.cfg.URL = endpoint
	}
	base, err := jsoncall.BaseURL(p.cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("google: %w", err)
	}
	p.cfg.URL = base
	if googleauth.IsKey(p.cfg.Key) {
		if p.account, err = googleauth.New(p.cfg.Client, p.cfg.Key, scope); err != nil {
			return nil, err
		}
	} else if p.apiKey = strings.TrimSpace(string(p.cfg.Key)); p.apiKey == "" || strings.ContainsFunc(p.apiKey, odd) {
		return nil, errors.New("google: the key is neither an API key nor the JSON file of a service account")
	}
	if p.path != "" {
		return p, nil
	}
	return p, p.buildV3()
}

func odd(r rune) bool { return r <= ' ' || r >= 0x7f }

func (p *Provider) buildV3() error {
	if p.account == nil {
		return errors.New("google: Cloud Translation Advanced takes no API key but the JSON file of a service account")
	}
	if p.cfg.Project == "" {
		p.cfg.Project = p.account.Project()
	}
	if p.cfg.Location == "" {
		p.cfg.Location = "global"
	}
	if p.cfg.Project == "" {
		return errors.New("google: Config.Project is missing, and the key file has none")
	}
	p.path = "/v3/projects/" + url.PathEscape(p.cfg.Project) + "/locations/" + url.PathEscape(p.cfg.Location) + ":translateText"
	return nil
}

// Name implements translate.Provider.
func (p *Provider) Name() string { return p.name }

// Translate implements translate.Provider.
func (p *Provider) Translate(ctx context.Context, texts []string, from, to string) ([]translate.Translation, error) {
	if to == "zh-Hant" {
		to = "zh-TW"
	}
	var all []translate.Translation
	for _, part := range split(texts) {
		list, err := p.request(ctx, part, from, to)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// split parts texts into requests.
func split(texts []string) [][]string {
	var all [][]string
	begin, runes := 0, 0
	for i, s := range texts {
		n := utf8.RuneCountInString(s)
		if i > begin && (i-begin >= maxTexts || runes+n > maxRunes) {
			all, begin, runes = append(all, texts[begin:i]), i, 0
		}
		runes += n
	}
	if begin < len(texts) {
		all = append(all, texts[begin:])
	}
	return all
}

func (p *Provider) request(ctx context.Context, texts []string, from, to string) ([]translate.Translation, error) {
	header := http.Header{}
	if p.account == nil {
		header.Set("X-Goog-Api-Key", p.apiKey)
	} else {
		token, err := p.account.Token(ctx)
		if err != nil {
			return nil, fmt.Errorf("google: %w", err)
		}
		header.Set("Authorization", "Bearer "+token)
		if p.cfg.Project != "" {
			header.Set("X-Goog-User-Project", p.cfg.Project)
		}
	}
	a, err := jsoncall.Do(ctx, p.cfg.Client, p.cfg.URL+p.path, header, p.encode(texts, from, to))
	if err != nil {
		return nil, fmt.Errorf("google: %w", err)
	}
	if a.Status != http.StatusOK {
		if a.Status == http.StatusUnauthorized && p.account != nil {
			p.account.Forget()
		}
		return nil, failure(a, time.Now())
	}
	list, err := p.decode(a, len(texts))
	if err != nil {
		return nil, fmt.Errorf("google: %w", err)
	}
	return list, nil
}

// encodeV2 asks for text, not HTML: then nothing comes back with entities in it, and "&lt;" stays what
// somebody wrote.
func encodeV2(texts []string, from, to string) any {
	return struct {
		Q      []string `json:"q"`
		Source string   `json:"source,omitempty"`
		Target string   `json:"target"`
		Format string   `json:"format"`
	}{texts, from, to, "text"}
}

func decodeV2(a jsoncall.Answer, n int) ([]translate.Translation, error) {
	var out struct {
		Data struct {
			Translations []struct {
				Text string `json:"translatedText"`
				From string `json:"detectedSourceLanguage"`
			} `json:"translations"`
		} `json:"data"`
	}
	if err := a.Decode(&out); err != nil {
		return nil, err
	}
	var list []translate.Translation
	for _, t := range out.Data.Translations {
		list = append(list, translate.Translation{Text: t.Text, From: t.From})
	}
	return list, counted(len(list), n)
}

func encodeV3(texts []string, from, to string) any {
	return struct {
		Contents []string `json:"contents"`
		Source   string   `json:"sourceLanguageCode,omitempty"`
		Target   string   `json:"targetLanguageCode"`
		Type     string   `json:"mimeType"`
	}{texts, from, to, "text/plain"}
}

func decodeV3(a jsoncall.Answer, n int) ([]translate.Translation, error) {
	var out struct {
		Translations []struct {
			Text string `json:"translatedText"` // not there if an error occurred with this one
			From string `json:"detectedLanguageCode"`
		} `json:"translations"`
	}
	if err := a.Decode(&out); err != nil {
		return nil, err
	}
	var list []translate.Translation
	for _, t := range out.Translations {
		list = append(list, translate.Translation{Text: t.Text, From: t.From})
	}
	return list, counted(len(list), n)
}

func counted(got, want int) error {
	if got != want {
		return fmt.Errorf("%d translations of %d texts", got, want)
	}
	return nil
}

// failure says what an error means, in either form of Google's errors.
func failure(a jsoncall.Answer, now time.Time) error {
	var out struct {
		Error struct {
			Message string `json:"message"`
			Errors  []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
			Details []struct {
				Reason string `json:"reason"`
			} `json:"details"`
		} `json:"error"`
	}
	_ = json.Unmarshal(a.Body, &out)
	message := strings.ToLower(out.Error.Message)
	for _, e := range append(out.Error.Errors, out.Error.Details...) {
		message += " " + strings.ToLower(e.Reason)
	}
	says := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(message, w) {
				return true
			}
		}
		return false
	}
	switch retry := a.RetryAfter(now); {
	case a.Status == http.StatusForbidden && says("daily limit", "dailylimit", "quotaexceeded", "quota exceeded"):
		return &translate.BusyError{Retry: retry, Quota: true}
	case a.Status == http.StatusTooManyRequests, a.Status == http.StatusServiceUnavailable && retry > 0,
		a.Status == http.StatusForbidden && says("rate limit", "ratelimit"):
		return &translate.BusyError{Retry: retry}
	case a.Status == http.StatusBadRequest && says("api key", "api_key", "too long", "too many", "too large"):
	case a.Status == http.StatusBadRequest && says("language", "invalid value", "target"):
		return translate.ErrLanguage
	}
	return fmt.Errorf("google: status %d", a.Status)
}

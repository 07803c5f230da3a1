package main

import (
	"flag"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/chat/translate"
	"github.com/rondo-chat/rondo/chat/translate/google"
	"github.com/rondo-chat/rondo/chat/translate/libre"
	translatecache "github.com/rondo-chat/rondo/chat/translate/rediscache"
	"github.com/rondo-chat/rondo/internal/outbound"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/server"
)

// translateConfig is the part of config that says who translates messages.
type translateConfig struct {
	Provider      string
	URL           string
	KeyFile       string
	Project       string
	PerUser       int
	PerDay        int
	OutboundAllow prefixList
}

const (
	translateLibre    = "libre"
	translateGoogleV2 = "google-v2"
	translateGoogleV3 = "google-v3"
)

func (c *translateConfig) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.Provider, "translate", "", "who translates messages: libre, google-v2 or google-v3; empty: nobody")
	fs.StringVar(&c.URL, "translate-url", "", "`URL` of the LibreTranslate server")
	fs.StringVar(&c.KeyFile, "translate-key-file", "", "`file` with LibreTranslate's or Google's API key, or the JSON key of a Google service account")
	fs.StringVar(&c.Project, "translate-project", "", "Google Cloud `project` (default: the service account's)")
	fs.IntVar(&c.PerUser, "translate-per-user", 50_000, "`characters` that one user may have translated a day, not counting what is known; -1: no limit")
	fs.IntVar(&c.PerDay, "translate-per-day", 1_000_000, "`characters` that all users may have translated a day; -1: no limit")
	fs.Var(&c.OutboundAllow, "outbound-allow", "comma-separated `CIDRs` that the translator's URL may lead to although they are not public")
}

// validate finds what cannot work.
func (c *translateConfig) validate() error {
	bad := func(name, text string) error { return fmt.Errorf("%w: %s: %s", errUsage, name, text) }
	switch {
	case c.Provider == "":
		return nil
	case !slices.Contains([]string{translateLibre, translateGoogleV2, translateGoogleV3}, c.Provider):
		return bad("translate", fmt.Sprintf("%q is none of libre, google-v2, google-v3", c.Provider))
	case c.Provider == translateLibre && c.URL == "":
		return bad("translate-url", "where is the LibreTranslate server?")
	case c.Provider != translateLibre && c.KeyFile == "":
		return bad("translate-key-file", "Google wants a key")
	case c.PerUser < -1 || c.PerUser == 0 || c.PerDay < -1 || c.PerDay == 0:
		return bad("translate-per-user", "it and translate-per-day are numbers of characters, or -1")
	}
	return nil
}

// openTranslator adds who translates to c, if there is to be somebody.
func (n *node) openTranslator(client redis.UniversalClient, limiter ratelimit.Limiter, c *server.Conversations) error {
	cfg := &n.cfg.Translate
	if c == nil || cfg.Provider == "" {
		return nil
	}
	provider, err := n.translateProvider()
	if err != nil {
		return err
	}
	tc := translate.Config{
		Provider: provider, Limiter: limiter, PerUser: cfg.PerUser, PerDay: cfg.PerDay, Logger: n.log, Registerer: n.metrics.Registerer(),
	}
	if client != nil {
		if tc.Cache, err = translatecache.New(rediscall.Config{Client: client, Prefix: n.cfg.RedisPrefix}); err != nil {
			return err
		}
	}
	t, err := translate.New(tc)
	if err != nil {
		return err
	}
	n.onClose(t.Close)
	c.Translator = t
	return nil
}

func (n *node) translateProvider() (translate.Provider, error) {
	cfg := &n.cfg.Translate
	key, err := readSecret("translate-key-file", cfg.KeyFile)
	if err != nil {
		return nil, err
	}
	way, err := outbound.New(outbound.Config{Allow: cfg.OutboundAllow, Timeout: 10 * time.Second, MaxBody: 1 << 20})
	if err != nil {
		return nil, err
	}
	if u, err := url.Parse(cfg.URL); err == nil && cfg.URL != "" {
		if err := way.Check(u); err != nil {
			return nil, fmt.Errorf("%w: translate-url: %w (see outbound-allow)", errUsage, err)
		}
	}
	client := way.Client()
	n.onClose(client.CloseIdleConnections)
	var p translate.Provider
	switch gc := (google.Config{Client: client, Key: []byte(key), Project: cfg.Project, URL: cfg.URL}); cfg.Provider {
	case translateGoogleV2:
		p, err = google.NewV2(gc)
	case translateGoogleV3:
		p, err = google.NewV3(gc)
	default:
		p, err = libre.New(libre.Config{Client: client, URL: cfg.URL, Key: strings.TrimSpace(key)})
	}
	if err != nil {
		return nil, fmt.Errorf("%w: translate: %w", errUsage, err)
	}
	return p, nil
}

package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/events/amqp"
	"github.com/rondo-chat/rondo/events/firebase"
	"github.com/rondo-chat/rondo/events/mqtt"
	"github.com/rondo-chat/rondo/events/webhook"
	"github.com/rondo-chat/rondo/internal/outbound"
)

// maxSinkTimeout is how long one event may take: a handing over has half a lease.
const maxSinkTimeout = 10 * time.Second

// sinkConfig is a sink in the file that events-file names.
type sinkConfig struct {
	Name     string        `yaml:"name"`
	Kind     string        `yaml:"kind"` // webhook, mqtt, amqp, firebase
	URL      string        `yaml:"url"`
	Types    []events.Type `yaml:"types"`
	Private  bool          `yaml:"private"`
	Presence bool          `yaml:"presence"`
	Allow    stringList    `yaml:"allow"` // addresses and CIDRs that are reached although they are not public
	CA       string        `yaml:"ca"`
	Timeout  duration      `yaml:"timeout"`

	SecretFiles  stringList `yaml:"secret-files"`
	PasswordFile string     `yaml:"password-file"` // mqtt, amqp
	AccountFile  string     `yaml:"account-file"`  // firebase

	Topic    string `yaml:"topic"`    // mqtt
	Retain   bool   `yaml:"retain"`   // mqtt
	Exchange string `yaml:"exchange"` // amqp
	Key      string `yaml:"key"`      // amqp
}

// readSinks reads the file; none without one.
func readSinks(path string) ([]sinkConfig, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: events-file: %w", errUsage, err)
	}
	var file struct {
		Sinks []sinkConfig `yaml:"sinks"`
	}
	if err := yaml.UnmarshalWithOptions(data, &file, yaml.CustomUnmarshaler(unmarshalDuration), yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%w: events-file: %s: %w", errUsage, path, err)
	}
	return file.Sinks, nil
}

// subscription makes the driver of a sink.
func (c *sinkConfig) subscription(signer *auth.Signer) (events.Subscription, error) {
	sub := events.Subscription{Name: c.Name, Types: c.Types, Private: c.Private, Presence: c.Presence}
	sink, err := c.sink(signer)
	if err != nil {
		return sub, fmt.Errorf("%w: events-file: %s: %w", errUsage, c.Name, err)
	}
	sub.Sink = sink
	return sub, nil
}

func (c *sinkConfig) sink(signer *auth.Signer) (events.Sink, error) {
	timeout := time.Duration(c.Timeout)
	if timeout < 0 || timeout > maxSinkTimeout {
		return nil, fmt.Errorf("timeout: must lie between 0s and %v", maxSinkTimeout)
	}
	if scheme, _, _ := strings.Cut(c.URL, ":"); len(c.Allow) == 0 && slices.Contains([]string{"http", "mqtt", "amqp"}, scheme) {
		return nil, fmt.Errorf("url: %s is not encrypted: take the other scheme, or name the addresses inside that are meant in allow", scheme)
	}
	way, trust, err := c.way()
	if err != nil {
		return nil, err
	}
	secrets, err := c.secrets(signer)
	if err != nil {
		return nil, err
	}
	sign, err := events.NewSigner(secrets...)
	if err != nil {
		return nil, err
	}
	password, err := readSecret("password-file", c.PasswordFile)
	if err != nil {
		return nil, err
	}
	switch c.Kind {
	case "webhook":
		return webhook.New(webhook.Config{URL: c.URL, Signer: sign, Client: way.Client(), Timeout: timeout})
	case "mqtt":
		return mqtt.New(mqtt.Config{
			URL: c.URL, Password: password, Topic: c.Topic, Retain: c.Retain, Signer: sign, Dial: way.DialContext, TLS: trust, Timeout: timeout,
		})
	case "amqp":
		return amqp.New(amqp.Config{
			URL: c.URL, Password: password, Exchange: c.Exchange, Key: c.Key, Signer: sign, Dial: way.DialContext, TLS: trust, Timeout: timeout,
		})
	case "firebase":
		account, err := os.ReadFile(c.AccountFile)
		if err != nil {
			return nil, fmt.Errorf("account-file: %w", err)
		}
		return firebase.New(firebase.Config{URL: c.URL, Account: account, Client: way.Client(), Timeout: timeout})
	}
	return nil, fmt.Errorf("kind: %q is none of webhook, mqtt, amqp, firebase", c.Kind)
}

// way is how the sink is reached, and what its certificate must be signed by.
func (c *sinkConfig) way() (*outbound.Dialer, *tls.Config, error) {
	var allow prefixList
	if err := allow.Set(c.Allow.String()); err != nil {
		return nil, nil, fmt.Errorf("allow: %w", err)
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, nil, fmt.Errorf("ca: %w", err)
		}
		if trust.RootCAs = x509.NewCertPool(); !trust.RootCAs.AppendCertsFromPEM(pem) {
			return nil, nil, errors.New("ca: holds no certificate (PEM)")
		}
	}
	way, err := outbound.New(outbound.Config{Allow: allow, TLS: trust})
	return way, trust, err
}

// secrets are what the sink's events are signed with: the files', which are made if they are not there, or
// one made of the service's secret, which all nodes have.
func (c *sinkConfig) secrets(signer *auth.Signer) ([][]byte, error) {
	if len(c.SecretFiles) == 0 {
		return [][]byte{signer.Key("events " + c.Name)}, nil
	}
	var all [][]byte
	for _, path := range c.SecretFiles {
		secret, err := sinkSecret(path)
		if err != nil {
			return nil, fmt.Errorf("secret-files: %w", err)
		}
		all = append(all, secret)
	}
	return all, nil
}

func sinkSecret(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		return events.ParseSecret(string(text))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString(events.FormatSecret(secret) + "\n")
	return secret, errors.Join(err, f.Sync(), f.Close())
}

// UnmarshalYAML reads a list, or one text with commas.
func (l *stringList) UnmarshalYAML(unmarshal func(any) error) error {
	var v any
	if err := unmarshal(&v); err != nil {
		return err
	}
	return l.Set(yamlText(v))
}

// openEvents starts to hand the outbox of the conversations over to the sinks, if there are any. pushKey is that of
// notifications; "": there are none.
func (n *node) openEvents(store conversations.Store) (_ *events.Dispatcher, pushKey string, err error) {
	list, err := readSinks(n.cfg.EventsFile)
	if err != nil {
		return nil, "", err
	}
	var subs []events.Subscription
	for i := range list {
		sub, err := list[i].subscription(n.signer)
		if err != nil {
			return nil, "", err
		}
		subs = append(subs, sub)
	}
	if n.cfg.Push.Enabled {
		way, err := outbound.New(outbound.Config{HTTPSOnly: true})
		if err != nil {
			return nil, "", err
		}
		sub, key, err := n.pushSubscription(store, way)
		if err != nil {
			return nil, "", err
		}
		subs, pushKey = append(subs, sub), key
	}
	d, err := events.New(events.Config{
		Log: &outbox{store, n.id}, Sinks: subs, Logger: n.log, Registerer: n.metrics.Registerer(),
	})
	if err != nil {
		return nil, "", fmt.Errorf("%w: events-file: %w", errUsage, err)
	}
	d.Start()
	n.onClose(d.Close)
	if len(list) > 0 {
		n.log.Info("events are handed over", "sinks", strings.Join(d.Names(), ","))
	}
	return d, pushKey, nil
}

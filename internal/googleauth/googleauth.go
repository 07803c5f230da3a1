// Package googleauth gets access tokens of Google Cloud for a service account
// (OAuth 2.0, RFC 7523): for the translator and for mirrors. A token is kept until it is
// about to end; secrets are in no error.
package googleauth

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"

	"github.com/rondo-chat/rondo/internal/outbound"
)

// Source gives tokens of one service account. It is safe for concurrent use.
type Source struct {
	client  *http.Client
	cfg     jwt.Config
	project string

	mu    sync.Mutex
	token *oauth2.Token
}

// IsKey reports whether a file looks like a service account's key: JSON.
func IsKey(file []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(file), []byte("{")) }

// New reads the JSON file that Google's console makes for a service account. The client
// is what tokens are fetched with, see package outbound; scopes are what they are good for.
func New(client *http.Client, file []byte, scopes ...string) (*Source, error) {
	var key struct {
		Type    string `json:"type"`
		Project string `json:"project_id"`
		Email   string `json:"client_email"`
		ID      string `json:"private_key_id"`
		Key     string `json:"private_key"`
		URI     string `json:"token_uri"`
	}
	if client == nil {
		return nil, errors.New("googleauth: no client")
	}
	if err := json.Unmarshal(file, &key); err != nil {
		return nil, errors.New("googleauth: the key file is not JSON") // the error might show some of it
	}
	switch u, err := url.Parse(key.URI); {
	case key.Type != "service_account" || key.Email == "":
		return nil, errors.New("googleauth: the key file is not that of a service account")
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, errors.New("googleauth: the key file has no token_uri")
	case !isPrivateKey(key.Key):
		return nil, errors.New("googleauth: the private key of the key file cannot be read")
	}
	return &Source{client: client, project: key.Project, cfg: jwt.Config{
		Email: key.Email, PrivateKey: []byte(key.Key), PrivateKeyID: key.ID, Scopes: scopes, TokenURL: key.URI,
	}}, nil
}

func isPrivateKey(text string) bool {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return false
	}
	if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		return true
	}
	_, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	return err == nil
}

// Project is the project that the key file names.
func (s *Source) Project() string { return s.project }

// Token returns a token that is good for a while. It ends with ctx's deadline.
func (s *Source) Token(ctx context.Context) (string, error) {
	if t := s.kept(); t.Valid() { // valid for 10 s more
		return t.AccessToken, nil
	}
	client := *s.client
	if end, ok := ctx.Deadline(); ok { // the library takes no context for its request
		left := max(time.Until(end), time.Millisecond)
		if client.Timeout == 0 || left < client.Timeout {
			client.Timeout = left
		}
	}
	t, err := s.cfg.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, &client)).Token()
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return "", fmt.Errorf("googleauth: no token: status %d", refused.Response.StatusCode)
	}
	if err != nil {
		return "", fmt.Errorf("googleauth: no token: %w", outbound.Cause(err))
	}
	if t.AccessToken == "" {
		return "", errors.New("googleauth: no token: the answer has none")
	}
	s.mu.Lock()
	s.token = t
	s.mu.Unlock()
	return t.AccessToken, nil
}

func (s *Source) kept() *oauth2.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token
}

// Forget drops the kept token: a service refused it.
func (s *Source) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = nil
}

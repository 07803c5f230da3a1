package firebase

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"

	"github.com/rondo-chat/rondo/internal/outbound"
)

// tokens gets access tokens for a service account (RFC 7523) and keeps them while they are good.
type tokens struct {
	cfg    *jwt.Config
	client *http.Client

	mu      sync.Mutex
	current *oauth2.Token
}

// newTokens reads the key file. Its errors repeat nothing of it.
func newTokens(account []byte, client *http.Client) (*tokens, error) {
	var file struct {
		Type     string `json:"type"`
		Email    string `json:"client_email"`
		Key      string `json:"private_key"`
		KeyID    string `json:"private_key_id"`
		TokenURL string `json:"token_uri"`
	}
	if err := json.Unmarshal(account, &file); err != nil || file.Type != "service_account" || file.Email == "" || file.Key == "" || file.TokenURL == "" {
		return nil, errors.New("firebase: not the key file of a service account (JSON)")
	}
	return &tokens{client: client, cfg: &jwt.Config{
		Email: file.Email, PrivateKey: []byte(file.Key), PrivateKeyID: file.KeyID, TokenURL: file.TokenURL,
		Scopes: []string{"https://www.googleapis.com/auth/firebase.database", "https://www.googleapis.com/auth/userinfo.email"},
	}}, nil
}

// get returns a token. Two callers at once may both ask for one.
func (t *tokens) get(ctx context.Context) (string, error) {
	if token := t.kept(); token.Valid() {
		return token.AccessToken, nil
	}
	token, err := t.cfg.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, t.client)).Token()
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.Response != nil {
		return "", errors.New("no token: status " + strconv.Itoa(refused.Response.StatusCode))
	}
	if err != nil {
		return "", outbound.Cause(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current = token
	return token.AccessToken, nil
}

func (t *tokens) kept() *oauth2.Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current
}

// drop forgets a token that was not taken.
func (t *tokens) drop(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil && t.current.AccessToken == token {
		t.current = nil
	}
}

package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/rondo-chat/rondo/docs"
	"github.com/rondo-chat/rondo/protocol"
)

// documentJSON is docs/openapi.yaml as JSON.
func documentJSON() ([]byte, error) {
	b, err := yaml.YAMLToJSON([]byte(docs.OpenAPI))
	if err != nil {
		return nil, fmt.Errorf("api: docs/openapi.yaml: %w", err)
	}
	return b, nil
}

// cached lets an answer that is the same for everybody be kept.
func cached(body []byte, seconds string) (answer, error) {
	return answer{status: http.StatusOK, body: json.RawMessage(body), header: map[string]string{
		"Cache-Control": "public, max-age=" + seconds, "Cross-Origin-Resource-Policy": "cross-origin",
	}}, nil
}

func openapi(c *call) (answer, error) { return cached(c.api.document, "300") }

// jwks may be kept for less than the time that the next key is shown before it
// signs.
func jwks(c *call) (answer, error) { return cached(c.api.cfg.JWKS(), "900") }

// pathID returns a part of the path that is an id of ours.
func (c *call) pathID(name string) (string, error) {
	id := c.r.PathValue(name)
	if !plain(id, 1, 64) {
		return "", protocol.Errorf(protocol.CodeNotFound, "there is no such thing")
	}
	return id, nil
}

// plain reports whether s has so many bytes, of A-Z, a-z, 0-9, _ and - only.
func plain(s string, least, most int) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
	return len(s) >= least && len(s) <= most && strings.Trim(s, alphabet) == ""
}

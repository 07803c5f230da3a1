package translate

import (
	"context"
	"errors"
	"time"
)

// Translation is a text in another language.
type Translation struct {
	Text string `json:"t"` // "" if this text cannot be translated, though others may be
	From string `json:"f"` // the language that was recognised, as the provider writes it; "" if it does not say
}

// Provider translates. It is safe for concurrent use and ends with ctx.
type Provider interface {
	// Name tells providers apart whose results differ: "libre", "google-v2". It is a constant.
	Name() string
	// Translate returns as many translations as there are texts, in their order. From is "" for
	// a language that is not known; to is a primary language ("de"), or zh-Hant. The error is ErrLanguage,
	// a *BusyError, or what went wrong; it holds no texts and no secrets.
	Translate(ctx context.Context, texts []string, from, to string) ([]Translation, error)
}

// ErrLanguage is for a language into which the provider does not translate.
var ErrLanguage = errors.New("translate: the provider does not have that language")

// BusyError says that the provider works but does not want to: too many requests, or a
// quota is used up.
type BusyError struct {
	Retry time.Duration // when to come again; 0: it did not say
	Quota bool          // the operator's quota, not a burst
}

// Error implements error.
func (e *BusyError) Error() string {
	if e.Quota {
		return "translate: the provider's quota is used up"
	}
	return "translate: too many requests for the provider"
}

// Cache keeps translations for all nodes. It may lose anything at any time. Keys are made
// of hashes.
type Cache interface {
	// Get returns what is there of the keys.
	Get(ctx context.Context, keys []string) (map[string]Translation, error)
	// Put keeps translations for a while.
	Put(ctx context.Context, list map[string]Translation) error
}

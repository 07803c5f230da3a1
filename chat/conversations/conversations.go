package conversations

import "context"

// Conversations is the chat that lasts of a service. It is safe for concurrent use; any number of
// nodes may have one over the same Store.
type Conversations struct {
	cfg Config
}

// New makes a Conversations. Its jobs run in Run.
func New(cfg Config) (*Conversations, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Conversations{cfg: cfg}, nil
}

// Run does what must be done from time to time until ctx ends.
func (c *Conversations) Run(ctx context.Context) { <-ctx.Done() }

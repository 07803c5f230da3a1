package accounts

// Accounts is the accounts of a service. It is safe for concurrent use; any number of
// nodes may have one over the same store.
type Accounts struct {
	cfg     Config
	metrics *metrics
}

// New makes an Accounts.
func New(cfg Config) (*Accounts, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Accounts{cfg: cfg, metrics: newMetrics(cfg.Registerer)}, nil
}

package mail

import (
	"context"
	"log/slog"
)

// printDriver logs mails instead of sending them, codes included: the way for a
// developer without a mail server.
type printDriver struct{ log *slog.Logger }

func (d *printDriver) send(_ context.Context, m rendered) error {
	attrs := []any{"to", m.To, "subject", m.Subject}
	if m.Code != "" {
		attrs = append(attrs, "code", m.Code)
	}
	d.log.Warn("mail: no mail server is configured, so this is all that there is of it", attrs...)
	return nil
}

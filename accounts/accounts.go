package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/protocol"
)

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

// now is the time as the store keeps it.
func (a *Accounts) now() time.Time { return a.cfg.Now().UTC().Truncate(time.Microsecond) }

// write is Store.Write that begins anew when another transaction took a unique value
// first: f then sees it.
func (a *Accounts) write(ctx context.Context, name string, f func(Tx) error) error {
	for try := 0; ; try++ {
		mails := false
		err := a.cfg.Store.Write(ctx, name, func(tx Tx) error {
			t := &postTx{Tx: tx}
			err := f(t)
			mails = t.mails
			return err
		})
		if err == nil && mails {
			a.cfg.OnMail()
		}
		if _, taken := errors.AsType[*TakenError](err); !taken || try == 3 {
			return err
		}
	}
}

// postTx knows whether a transaction put a mail into the outbox.
type postTx struct {
	Tx
	mails bool
}

// Enqueue implements Tx.
func (t *postTx) Enqueue(r mail.Row) error {
	t.mails = true
	return t.Tx.Enqueue(r)
}

// user returns the user with the identity; its absence is not_found.
func (a *Accounts) user(r Reader, identity protocol.UserID) (UserRow, error) {
	if !plainID(string(identity)) {
		return UserRow{}, errNoUser()
	}
	u, err := r.User(ByIdentity, string(identity))
	if errors.Is(err, ErrNotFound) {
		return u, errNoUser()
	}
	return u, err
}

// exists makes the error of a row that is not there a boolean.
func exists(err error) (bool, error) {
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// mail puts a message into the outbox.
func (a *Accounts) mail(tx Tx, m mail.Message, now time.Time) error {
	row, err := a.cfg.Mail.Seal(m, now)
	if err != nil {
		return err
	}
	return tx.Enqueue(row)
}

// log writes a line of the audit log.
func (a *Accounts) log(tx Tx, event Event, user string, now time.Time, line AuditRow) error {
	line.ID, line.User, line.Event, line.At = newID(now), user, event, now
	return tx.Log(line)
}

func errNoUser() error { return protocol.Errorf(protocol.CodeNotFound, "there is no such account") }

func errCredentials() error {
	return protocol.Errorf(protocol.CodeCredentials, "the name or the password is wrong")
}

func errCode() error {
	return protocol.Errorf(protocol.CodeInvalid, "the code is wrong or over")
}

func errUnauthorized() error {
	return protocol.Errorf(protocol.CodeUnauthorized, "log in first")
}

func errNeedsTOTP() error {
	return protocol.Errorf(protocol.CodeNeedsTOTP, "a code of your authenticator is needed")
}

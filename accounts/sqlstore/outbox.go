package sqlstore

import (
	"context"
	"time"

	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/mail"
)

var _ mail.Store = (*Store)(nil)

// Enqueue implements accounts.Tx.
func (t *txn) Enqueue(r mail.Row) error { return enqueue(t.tx, r) }

func enqueue(tx *database.Tx, r mail.Row) error {
	_, err := tx.InsertNew("mail_outbox",
		[]string{"id", "cause", "template", "body", "created_at", "due_at", "expires_at", "attempts", "lease", "died_at", "reason"},
		r.ID, r.Key, string(r.Template), r.Body, micros(r.Created), micros(r.Due), micros(r.Expires), r.Attempts, "", 0, "")
	return err
}

// Put adds rows but those whose key is there, in a transaction of their own.
func (s *Store) Put(ctx context.Context, rows ...mail.Row) error {
	return s.db.Write(ctx, "mail_put", func(tx *database.Tx) error {
		for _, r := range rows {
			if err := enqueue(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// Lease implements mail.Store.
func (s *Store) Lease(ctx context.Context, lease string, now, until time.Time, n int) ([]mail.Row, error) {
	var leased []mail.Row
	err := s.db.Write(ctx, "mail_lease", func(tx *database.Tx) error {
		rows, err := tx.Query("SELECT id, cause, template, body, created_at, due_at, expires_at, attempts FROM mail_outbox"+
			" WHERE died_at = 0 AND due_at <= ? ORDER BY due_at, id LIMIT ?"+tx.Engine().ForUpdate(), micros(now), n)
		if leased, err = database.All(rows, err, scanMail); err != nil {
			return err
		}
		for i := range leased {
			leased[i].Due = until
			if _, err := tx.Exec("UPDATE mail_outbox SET due_at = ?, lease = ? WHERE id = ?", micros(until), lease, leased[i].ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return leased, nil
}

func scanMail(row database.Scanner) (mail.Row, error) {
	var r mail.Row
	var template string
	var created, due, expires int64
	err := row.Scan(&r.ID, &r.Key, &template, &r.Body, &created, &due, &expires, &r.Attempts)
	r.Template, r.Created, r.Due, r.Expires = mail.Template(template), instant(created), instant(due), instant(expires)
	return r, err
}

// leased runs a statement that ends with WHERE id = ? AND lease = ?.
func (s *Store) leased(ctx context.Context, name, statement, id, lease string, args ...any) error {
	if lease == "" {
		return mail.ErrLost
	}
	return s.db.Write(ctx, name, func(tx *database.Tx) error {
		n, err := tx.Exec(statement+" WHERE id = ? AND lease = ?", append(args[:len(args):len(args)], id, lease)...)
		if err == nil && n == 0 {
			err = mail.ErrLost
		}
		return err
	})
}

// Done implements mail.Store.
func (s *Store) Done(ctx context.Context, id, lease string) error {
	return s.leased(ctx, "mail_done", "DELETE FROM mail_outbox", id, lease)
}

// Retry implements mail.Store.
func (s *Store) Retry(ctx context.Context, id, lease string, due time.Time, attempts int) error {
	return s.leased(ctx, "mail_retry", "UPDATE mail_outbox SET due_at = ?, attempts = ?, lease = ''", id, lease, micros(due), attempts)
}

// Bury implements mail.Store.
func (s *Store) Bury(ctx context.Context, id, lease string, at time.Time, reason string) error {
	return s.leased(ctx, "mail_bury", "UPDATE mail_outbox SET died_at = ?, reason = ?, body = ?, lease = '', cause = id", id, lease,
		micros(at), reason[:min(len(reason), 255)], []byte{})
}

// Prune implements mail.Store.
func (s *Store) Prune(ctx context.Context, t time.Time) error {
	return s.db.Write(ctx, "mail_prune", func(tx *database.Tx) error {
		_, err := tx.Exec("DELETE FROM mail_outbox WHERE died_at <> 0 AND died_at < ?", micros(t))
		return err
	})
}

// Backlog implements mail.Store.
func (s *Store) Backlog(ctx context.Context) (mail.Backlog, error) {
	var b mail.Backlog
	err := s.db.ReadStale(ctx, "mail_backlog", func(q database.Queryer) error {
		var oldest int64
		err := q.QueryRow("SELECT COUNT(*), COALESCE(MIN(created_at), 0) FROM mail_outbox WHERE died_at = 0").Scan(&b.Waiting, &oldest)
		if err != nil {
			return err
		}
		b.Oldest = instant(oldest)
		return q.QueryRow("SELECT COUNT(*) FROM mail_outbox WHERE died_at <> 0").Scan(&b.Dead)
	})
	return b, err
}

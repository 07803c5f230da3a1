package mail

import (
	"context"
	"errors"
	"time"
)

// Row is a message in the outbox. What puts it there (in the transaction of its
// cause) ignores a row whose Key is there already.
type Row struct {
	ID       string // 26 letters and digits, unique; also the Message-ID
	Key      string // unique
	Template Template
	Body     []byte // the sealed message, some hundred bytes; empty in a dead letter
	Created  time.Time
	Due      time.Time // not to be tried before; while leased: the lease's end
	Expires  time.Time
	Attempts int
}

// ErrLost means that a row is no longer leased to who asks: its lease ran out
// and another node took it, or it is gone.
var ErrLost = errors.New("mail: the row is leased to somebody else, or gone")

// Store is the outbox as a Worker sees it. All methods may be called at once by
// many nodes. Times have at least microseconds.
type Store interface {
	// Lease takes up to n rows that are neither dead nor due after now, those
	// that are due longest first. They get Due = until and the lease (a
	// name never used before); two calls never take the same row before until.
	Lease(ctx context.Context, lease string, now, until time.Time, n int) ([]Row, error)
	// Done deletes a row that was sent. ErrLost: it does not have that lease.
	Done(ctx context.Context, id, lease string) error
	// Retry ends the lease: the row is due then, and has had so many attempts. ErrLost as above.
	Retry(ctx context.Context, id, lease string, due time.Time, attempts int) error
	// Bury makes the row a dead letter, which Lease never takes: Body is emptied, and
	// Key exchanged for ID so that a later cause is not held up. ErrLost as above.
	Bury(ctx context.Context, id, lease string, at time.Time, reason string) error
	// Prune deletes the dead letters that died before t.
	Prune(ctx context.Context, t time.Time) error
	// Backlog describes what waits. It may be some seconds old.
	Backlog(ctx context.Context) (Backlog, error)
}

// Backlog says how full the outbox is.
type Backlog struct {
	Waiting int       // rows that are not dead
	Oldest  time.Time // when the oldest of these was made; zero if there is none
	Dead    int       // dead letters
}

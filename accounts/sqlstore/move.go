package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rondo-chat/rondo/internal/database"
)

// Errors of copies. After them nothing is in the database that was to be filled.
var (
	ErrChanged = errors.New("the database was written to during the move")
	ErrDiffers = errors.New("the copy is not what was copied")
)

// Move copies all tables into another database, which must be empty: in one transaction, which is
// committed only if the copy reads back the same and nobody wrote to this database meanwhile. This database is
// only read. The tables are compared also where the error is ErrDiffers. Errors: ErrOccupied, ErrChanged, ErrDiffers.
func (s *Store) Move(ctx context.Context, to *Store, progress Progress) ([]Check, error) {
	var checks []Check
	var have schema
	err := s.db.Read(ctx, "move", func(q database.Queryer) (err error) {
		if checks != nil {
			return nil // it is done; only the end of the reading failed
		}
		if have, err = s.schemaOf(q); err != nil {
			return err
		}
		if err := to.prepare(ctx, have.versions); err != nil {
			return err
		}
		return to.db.Write(ctx, "move", func(tx *database.Tx) (err error) {
			checks, err = s.copyAll(ctx, q, to, tx, have, progress)
			return err
		})
	})
	if err != nil {
		return checks, err
	}
	return checks, to.migrateOn(context.WithoutCancel(ctx), have.versions) // what is there stays there
}

// copyAll copies the tables that q reads, and checks all that can be checked before the commit.
func (s *Store) copyAll(ctx context.Context, q database.Queryer, to *Store, tx *database.Tx, have schema, progress Progress) ([]Check, error) {
	if err := to.vacant(tx); err != nil {
		return nil, err
	}
	var checks []Check
	for _, t := range have.tables {
		there, err := columnsOf(tx, t.name)
		if err != nil {
			return nil, err
		}
		if err := t.fits(there); err != nil {
			return nil, err
		}
		copied, err := t.copy(ctx, q, &inserter{tx: tx, table: t, done: progress})
		if err != nil {
			return nil, err
		}
		checks = append(checks, Check{Table: t.name, Source: copied})
	}
	if err := readBack(ctx, tx, have, checks); err != nil {
		return checks, err
	}
	return checks, s.unchanged(ctx, have, checks)
}

func (t table) copy(ctx context.Context, q database.Queryer, w *inserter) (Count, error) {
	var sum tally
	err := t.scan(ctx, q, func(row []any) error {
		sum.add(row)
		return w.add(row)
	})
	if err == nil {
		err = w.flush()
	}
	return sum.count(), err
}

// readBack counts what was written to the tables of checks.
func readBack(ctx context.Context, q database.Queryer, have schema, checks []Check) error {
	var differ []string
	for i, c := range checks {
		count, err := have.table(c.Table).count(ctx, q)
		if err != nil {
			return err
		}
		checks[i].Copy = count
		if !checks[i].Same() {
			differ = append(differ, c.Table)
		}
	}
	if differ != nil {
		return fmt.Errorf("%w: %s", ErrDiffers, strings.Join(differ, ", "))
	}
	return nil
}

// unchanged reads the source again, as it is now.
func (s *Store) unchanged(ctx context.Context, have schema, checks []Check) error {
	return s.db.Read(ctx, "move_check", func(q database.Queryer) error {
		var changed []string
		for i, t := range have.tables {
			now, err := t.count(ctx, q)
			if err != nil {
				return err
			}
			if now != checks[i].Source {
				changed = append(changed, t.name)
			}
		}
		if changed != nil {
			return fmt.Errorf("%w (%s): stop the servers that use it, and try again; nothing was moved", ErrChanged, strings.Join(changed, ", "))
		}
		return nil
	})
}

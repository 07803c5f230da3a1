package sqlstore

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/rondo-chat/rondo/internal/database"
)

// Restore fills an empty database with a backup, in one transaction that is committed only if the tables
// read back as the backup has them. The tables are compared also where the error is ErrDiffers. Errors:
// ErrOccupied, ErrDiffers.
func (s *Store) Restore(ctx context.Context, b *Backup, progress Progress) ([]Check, error) {
	want := b.Header.versions()
	if err := s.knows(want); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, want); err != nil {
		return nil, err
	}
	var checks []Check
	err := s.db.Write(ctx, "restore", func(tx *database.Tx) (err error) {
		checks, err = s.restore(ctx, b, tx, progress)
		return err
	})
	if err != nil {
		return checks, err
	}
	return checks, s.migrateOn(context.WithoutCancel(ctx), want) // what is there stays there
}

// knows returns errNewer unless the program knows all these versions.
func (s *Store) knows(want versions) error {
	known := versions{}
	for _, set := range s.sets() {
		newest, err := set.newest(s.db.Engine())
		if err != nil {
			return err
		}
		known[set.name] = newest
	}
	for name, version := range want {
		if version > known[name] {
			return errNewer
		}
	}
	return nil
}

func (s *Store) restore(ctx context.Context, b *Backup, tx *database.Tx, progress Progress) ([]Check, error) {
	if err := s.vacant(tx); err != nil {
		return nil, err
	}
	have, err := s.schemaOf(tx)
	if err != nil {
		return nil, err
	}
	if _, err := b.f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(b.f, 1<<16)
	if _, err := readLine(r); err != nil { // the header, which is known
		return nil, err
	}
	var checks []Check
	for {
		line, err := readLine(r)
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(line, []byte(`{"sha256":`)) {
			break
		}
		count, err := restoreTable(ctx, r, line, tx, have, progress)
		if err != nil {
			return nil, err
		}
		checks = append(checks, count)
	}
	for _, t := range have.tables {
		found := slices.ContainsFunc(checks, func(c Check) bool { return c.Table == t.name })
		if !found && !slices.Contains(ephemeral(), t.name) {
			return nil, fmt.Errorf("the backup has no table %s", t.name)
		}
	}
	return checks, readBack(ctx, tx, have, checks)
}

// restoreTable reads the section that line begins.
func restoreTable(ctx context.Context, r *bufio.Reader, line []byte, tx *database.Tx, have schema, progress Progress) (Check, error) {
	var begin section
	if err := json.Unmarshal(line, &begin); err != nil || len(begin.Columns) != len(begin.Kinds) {
		return Check{}, errDamaged
	}
	t := have.table(begin.Table)
	columns := make([]column, len(begin.Columns))
	for i, name := range begin.Columns {
		columns[i] = column{Name: name, Kind: begin.Kinds[i]}
	}
	if err := t.fits(columns); err != nil {
		return Check{}, err
	}
	w := &inserter{tx: tx, table: t, done: progress}
	count, err := t.restoreRows(ctx, r, w)
	if err == nil {
		err = w.flush()
	}
	return Check{Table: t.name, Source: count}, err
}

// restoreRows reads rows and the line that ends them.
func (t table) restoreRows(ctx context.Context, r *bufio.Reader, w *inserter) (Count, error) {
	var sum tally
	for {
		if err := ctx.Err(); err != nil {
			return Count{}, err
		}
		line, err := readLine(r)
		if err != nil {
			return Count{}, err
		}
		if line[0] != '[' {
			var end sectionEnd
			if json.Unmarshal(line, &end) != nil || end.End != t.name || end.Count != sum.count() {
				return Count{}, errDamaged
			}
			return end.Count, nil
		}
		row, err := t.parse(line)
		if err != nil {
			return Count{}, fmt.Errorf("table %s: %w", t.name, err)
		}
		sum.add(row)
		if err := w.add(row); err != nil {
			return Count{}, err
		}
	}
}

// parse reads a row.
func (t table) parse(line []byte) ([]any, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var row []any
	if err := d.Decode(&row); err != nil || len(row) != len(t.columns) {
		return nil, errDamaged
	}
	for i, c := range t.columns {
		var err error
		switch v := row[i].(type) {
		case json.Number:
			row[i], err = v.Int64()
		case string:
			if c.Kind == kindBytes {
				row[i], err = base64.StdEncoding.DecodeString(v)
			}
		}
		if err == nil {
			row[i], err = c.normal(row[i])
		}
		if err != nil {
			return nil, errors.Join(errDamaged, err)
		}
	}
	return row, nil
}

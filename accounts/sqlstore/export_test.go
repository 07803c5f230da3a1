package sqlstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/rondo-chat/rondo/internal/database"
)

// Migrations is what a Store has without NewWith.
func Migrations() fs.FS { return migrations }

// NewWith is New with other migrations.
func NewWith(db *database.DB, files fs.FS) *Store { return &Store{db: db, files: files} }

// DB is the store's database.
func (s *Store) DB() *database.DB { return s.db }

// MigrateTo is Migrate to an older version.
func (s *Store) MigrateTo(ctx context.Context, version int64) error {
	return s.migrateTo(ctx, versions{setName: version})
}

// Newest is the version of the last migration.
func (s *Store) Newest() (int64, error) { return s.sets()[0].newest(s.db.Engine()) }

// Covered lists the tables that are copied.
func (s *Store) Covered() ([]string, error) {
	var names []string
	for _, set := range s.sets() {
		tables, err := set.tablesAt(s.db.Engine(), math.MaxInt64)
		if err != nil {
			return nil, err
		}
		names = append(names, tables...)
	}
	return names, nil
}

// Ephemeral lists those that backups leave out.
func Ephemeral() []string { return ephemeral() }

// Fill inserts rows into each table, of values that engines treat differently where they can. The same
// number makes the same text in each table.
func (s *Store) Fill(ctx context.Context, tables []string, from, to int) error {
	return s.db.Write(ctx, "fill", func(tx *database.Tx) error {
		for _, name := range tables {
			columns, err := columnsOf(tx, name)
			if err != nil {
				return err
			}
			if len(columns) == 0 {
				return fmt.Errorf("no table %s", name)
			}
			w := &inserter{tx: tx, table: table{name: name, columns: columns}}
			for i := from; i < to; i++ {
				if err := w.add(oddRow(name, columns, i)); err != nil {
					return err
				}
			}
			if err := w.flush(); err != nil {
				return err
			}
		}
		return nil
	})
}

func oddRow(name string, columns []column, i int) []any {
	odd := []string{"", "Zoë'\"\\", "日本語", "👩‍👩‍👧", "e\u0301\u00e9", "ﷺ\u202e", " a ", "%_!\n\t", "<&>\u2028", "\ufeff\U0010ffff", "İıßſ"}
	integers := []int64{0, 1 << 40, 1_760_000_000_123_456, math.MaxInt64 - 1_000_000, math.MinInt64}
	blob := binary.AppendVarint([]byte{0, 0xff, '\'', 0xc3, '('}[:i%6], int64(i)) // at most 8 bytes, each one once
	if i == 0 {
		blob = []byte{}
	}
	row := make([]any, len(columns))
	for n, c := range columns {
		switch {
		case c.null && i%3 == 0:
		case c.Name == "body" && i%7 == 1:
			row[n] = slices.Repeat([]byte{7, 0}, 50_000)
		case name == "users" && c.Name == "avatar" && i%1000 == 5:
			row[n] = "data:image/png;base64," + strings.Repeat("A", 100_000)
		case name == "users" && c.Name == "last_login_at" && i%2 == 0:
			row[n] = int64(0) // never
		case c.Kind == kindText:
			row[n] = fmt.Sprintf("%05d%s", i, odd[i%len(odd)])
		case c.Kind == kindInteger:
			row[n] = integers[i%len(integers)] + int64(i)
		case c.Kind == kindBoolean:
			row[n] = i%2 == 0
		case c.Kind == kindBytes:
			row[n] = blob
		}
	}
	return row
}

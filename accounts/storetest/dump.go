package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/internal/database"
)

// Dump is everything in all tables of a database: table → rows, each "column=value …", sorted.
func Dump(t testing.TB, db *database.DB) map[string][]string {
	t.Helper()
	tables := map[string][]string{}
	err := db.Read(t.Context(), "dump", func(q database.Queryer) error {
		clear(tables)
		columns, err := columnsOf(q)
		if err != nil {
			return err
		}
		for table, names := range columns {
			rows, err := q.Query("SELECT " + strings.Join(names, ", ") + " FROM " + table)
			if err != nil {
				return err
			}
			if tables[table], err = lines(rows, names); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

func columnsOf(q database.Queryer) (map[string][]string, error) {
	query := map[database.Engine]string{
		database.SQLite: "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c" +
			" WHERE m.type = 'table' AND m.name NOT LIKE 'goose%' AND m.name NOT LIKE 'sqlite%'",
		database.Postgres: "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%'" +
			" AND table_name NOT LIKE 'rondo%'",
		database.MySQL: "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name NOT LIKE 'goose%'" +
			" AND table_name NOT LIKE 'rondo%'",
	}[q.Engine()]
	rows, err := q.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns := map[string][]string{}
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			return nil, err
		}
		columns[table] = append(columns[table], column)
	}
	return columns, rows.Err()
}

func lines(rows *database.Rows, names []string) ([]string, error) {
	defer rows.Close()
	list := []string{}
	for rows.Next() {
		values := make([]any, len(names))
		to := make([]any, len(names))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		var b strings.Builder
		for i, v := range values {
			if raw, ok := v.([]byte); ok {
				v = string(raw)
			}
			fmt.Fprintf(&b, "%s=%v ", names[i], v)
		}
		list = append(list, b.String())
	}
	slices.Sort(list)
	return list, rows.Err()
}

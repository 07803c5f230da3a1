package sqlstore_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/internal/database"
)

// TestIndexes: no question reads a table from end to end, nor sorts one, be it ever so long.
func TestIndexes(t *testing.T) {
	onEngines(t, func(t *testing.T, open func(testing.TB) *sqlstore.Store) {
		s := open(t)
		if s.DB().Engine() != database.SQLite { // its plans do not depend on what is there
			big(t, s)
		}
		for _, q := range sqlstore.Questions(s.DB().Engine(), "c_big", "u_1") {
			t.Run(q.Name, func(t *testing.T) {
				switch s.DB().Engine() {
				case database.SQLite:
					checkSQLite(t, s, q)
				case database.Postgres:
					checkPostgres(t, s, q)
				case database.MySQL:
					checkMariaDB(t, s, q)
				}
			})
		}
	})
}

const (
	bigMessages = 10_000
	bigTopics   = 2_000
)

// big makes a long conversation and many short ones.
func big(t *testing.T, s *sqlstore.Store) {
	t.Helper()
	columns := []string{"room_id", "seq", "rev", "author", "name", "cid", "content", "reply_to", "thread", "replies", "mentions", "files", "reactions",
		"is_pinned", "inserted_at", "updated_at", "deleted_at"}
	fill(t, s, "chat_messages", columns, bigMessages, func(i int) []any {
		return []any{"c_big", i + 1, i + 1, fmt.Sprint("u_", i%10), "", fmt.Sprint(i), "text", 0, (i % 3) * 7, 0, "[]", "[]", "[]", i%500 == 0, i, 0, 0}
	})
	columns = []string{"id", "kind", "name", "about", "language", "tags", "writers", "slow_s", "keep_s", "guests", "members", "seq", "rev", "oldest",
		"created_at", "active_at", "is_deleted", "passcode_hash", "purged"}
	fill(t, s, "chat_conversations", columns, bigTopics, func(i int) []any {
		id := fmt.Sprintf("c_%04d", i)
		if i == 0 {
			id = "c_big"
		}
		return []any{id, "topic", "", "", "", "[]", "", 0, 0, true, 0, 0, 0, 0, 0, i * 5, false, "", 0}
	})
	columns = []string{"room_id", "user_id", "name", "is_guest", "role", "joined_at", "rev", "delivered", "seen", "wrote_at"}
	fill(t, s, "chat_members", columns, bigTopics, func(i int) []any {
		return []any{fmt.Sprintf("c_%04d", i), fmt.Sprint("u_", i%100), "", false, "member", i, 0, 0, 0, 0}
	})
	if s.DB().Engine() == database.Postgres {
		statement(t, s, "ANALYZE chat_messages, chat_conversations, chat_members")
	}
}

func statement(t *testing.T, s *sqlstore.Store, text string) {
	t.Helper()
	err := s.DB().WriteCommitted(t.Context(), "test", func(tx *database.Tx) error {
		_, err := tx.Exec(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fill inserts n rows, 500 at once.
func fill(t *testing.T, s *sqlstore.Store, table string, columns []string, n int, row func(int) []any) {
	t.Helper()
	const part = 500
	one := "(" + database.Marks(len(columns)) + ")"
	err := s.DB().WriteCommitted(t.Context(), "test", func(tx *database.Tx) error {
		for i := 0; i < n; i += part {
			var args []any
			for k := range part {
				args = append(args, row(i+k)...)
			}
			_, err := tx.Exec("INSERT INTO "+table+" ("+strings.Join(columns, ", ")+") VALUES "+one+strings.Repeat(", "+one, part-1), args...)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// texts runs a statement and gives the last column of each row.
func texts(t *testing.T, s *sqlstore.Store, columns int, text string, args ...any) []string {
	t.Helper()
	var list []string
	err := s.DB().Read(t.Context(), "test", func(q database.Queryer) error {
		list = nil
		rows, err := q.Query(text, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var line string
			into := make([]any, columns)
			for i := range into {
				into[i] = new(any)
			}
			into[columns-1] = &line
			if err := rows.Scan(into...); err != nil {
				return err
			}
			list = append(list, line)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// checkSQLite reads the plan: every table is searched by an index. Only the inbox, which is bounded by a person's conversations, is sorted.
func checkSQLite(t *testing.T, s *sqlstore.Store, q sqlstore.Question) {
	for _, line := range texts(t, s, 4, "EXPLAIN QUERY PLAN "+q.Text, q.Args...) {
		scan := strings.HasPrefix(line, "SCAN ") && line != "SCAN t" && line != "SCAN (subquery-1)"
		if scan || strings.Contains(line, "TEMP B-TREE") && q.Name != "inbox" {
			t.Errorf("%s", line)
		}
	}
}

// most is how many rows a question may touch, of 10,000: the unread and a page, with what an index leaves to look at.
const most = 500

// checkPostgres runs it and counts rows.
func checkPostgres(t *testing.T, s *sqlstore.Store, q sqlstore.Question) {
	plan := strings.Join(texts(t, s, 1, "EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) "+q.Text, q.Args...), "\n")
	if rowsOf(t, plan) > most && q.Name != "inbox" { // of so few conversations it rather makes a hash
		t.Errorf("%d rows:\n%s", rowsOf(t, plan), plan)
	}
}

// rowsOf is the highest number of rows that a step gave or left out.
func rowsOf(t *testing.T, plan string) int {
	t.Helper()
	found := regexp.MustCompile(`(?:actual rows=|Removed by Filter: )(\d+)`).FindAllStringSubmatch(plan, -1)
	if found == nil {
		t.Fatalf("no plan: %s", plan)
	}
	highest := 0
	for _, m := range found {
		var n int
		if _, err := fmt.Sscan(m[1], &n); err != nil {
			t.Fatal(err)
		}
		highest = max(highest, n)
	}
	return highest
}

// checkMariaDB runs it and reads how many rows each table gave.
func checkMariaDB(t *testing.T, s *sqlstore.Store, q sqlstore.Question) {
	plan := strings.Join(texts(t, s, 1, "ANALYZE FORMAT=JSON "+q.Text, q.Args...), "\n")
	found := regexp.MustCompile(`"r_rows": ([0-9.]+)`).FindAllStringSubmatch(plan, -1)
	if found == nil {
		t.Fatalf("no plan: %s", plan)
	}
	for _, m := range found {
		var n float64
		if _, err := fmt.Sscan(m[1], &n); err != nil {
			t.Fatal(err)
		}
		if n > most {
			t.Errorf("%v rows:\n%s", n, plan)
		}
	}
}

package sqlstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rondo-chat/rondo/internal/database"
)

// Progress hears how many rows of a table are done; it is called after each hundred or so
// and must be quick.
type Progress func(table string, rows int64)

// Count is what a table holds: how many rows, and a sum over what is in them that is the same on all
// engines and in any order.
type Count struct {
	Rows int64  `json:"rows"`
	Sum  string `json:"sum"` // hexadecimal
}

// Check compares a table with its copy.
type Check struct {
	Table        string
	Source, Copy Count
}

// Same reports whether the copy has the same rows.
func (c Check) Same() bool { return c.Source == c.Copy }

// tally counts rows. The hashes of rows are added modulo 2^256, so that their order does not matter and
// a row that is there twice does.
type tally struct {
	rows int64
	sum  [4]uint64
}

// add takes one row, of values as normal makes them.
func (t *tally) add(row []any) {
	h := sha256.New()
	var head [9]byte
	for _, v := range row {
		var data []byte
		switch v := v.(type) {
		case nil:
			head[0] = 'n'
		case bool:
			head[0], data = 'b', strconv.AppendBool(nil, v)
		case int64:
			head[0], data = 'i', strconv.AppendInt(nil, v, 10)
		case string:
			head[0], data = 't', []byte(v)
		case []byte:
			head[0], data = 'x', v
		}
		binary.BigEndian.PutUint64(head[1:], uint64(len(data)))
		h.Write(head[:])
		h.Write(data)
	}
	hash := h.Sum(nil)
	var carry uint64
	for i := range t.sum {
		t.sum[i], carry = bits.Add64(t.sum[i], binary.LittleEndian.Uint64(hash[8*i:]), carry)
	}
	t.rows++
}

func (t *tally) count() Count {
	var b [32]byte
	for i, part := range t.sum {
		binary.LittleEndian.PutUint64(b[8*i:], part)
	}
	return Count{Rows: t.rows, Sum: hex.EncodeToString(b[:])}
}

// scan calls f with each row of the table, of values in the order of columns. The slice is f's to keep. It
// ends early if ctx does.
func (t table) scan(ctx context.Context, q database.Queryer, f func(row []any) error) error {
	rows, err := q.Query("SELECT " + strings.Join(t.names(), ", ") + " FROM " + t.name)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		row := make([]any, len(t.columns))
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, c := range t.columns {
			if row[i], err = c.normal(row[i]); err != nil {
				return fmt.Errorf("table %s, column %s: %w", t.name, c.Name, err)
			}
		}
		if err := f(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

// count reads the whole table.
func (t table) count(ctx context.Context, q database.Queryer) (Count, error) {
	var sum tally
	err := t.scan(ctx, q, func(row []any) error {
		sum.add(row)
		return nil
	})
	return sum.count(), err
}

// normal makes what a driver returns nil, bool, int64, string or []byte, as the column's kind has it. No
// error shows a value.
func (c column) normal(v any) (any, error) {
	if b, ok := v.([]byte); ok && c.Kind != kindBytes {
		v = string(b)
	}
	switch v := v.(type) {
	case nil:
		if c.null {
			return nil, nil
		}
		if c.Kind == kindBytes {
			return []byte{}, nil
		}
	case bool:
		if c.Kind == kindBoolean {
			return v, nil
		}
	case int64:
		return c.normalInteger(v)
	case string:
		return c.normalText(v)
	case []byte:
		if v == nil {
			v = []byte{} // an empty one
		}
		return v, nil
	}
	return nil, fmt.Errorf("a value of type %T in a column of %s", v, c.Kind)
}

func (c column) normalInteger(v int64) (any, error) {
	switch {
	case c.Kind == kindInteger:
		return v, nil
	case c.Kind == kindBoolean && (v == 0 || v == 1):
		return v == 1, nil
	}
	return nil, fmt.Errorf("an integer in a column of %s", c.Kind)
}

func (c column) normalText(v string) (any, error) {
	switch c.Kind {
	case kindText:
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("text that is not UTF-8")
		}
		return v, nil
	case kindBytes:
		return []byte(v), nil
	}
	n, err := strconv.ParseInt(v, 10, 64) // MariaDB and MySQL without parameters
	if err != nil {
		return nil, fmt.Errorf("text in a column of %s", c.Kind)
	}
	return c.normalInteger(n)
}

// Bounds of one INSERT: below what any engine takes.
const (
	batchRows  = 200
	batchBytes = 1 << 20
	batchArgs  = 5_000
)

// inserter writes rows into a table, many at once.
type inserter struct {
	tx    *database.Tx
	table table

	args  []any
	rows  int
	bytes int
	total int64
	done  Progress
}

func (w *inserter) add(row []any) error {
	for _, v := range row {
		switch v := v.(type) {
		case string:
			w.bytes += len(v)
		case []byte:
			w.bytes += len(v)
		}
	}
	w.args = append(w.args, row...)
	w.rows++
	if w.rows >= batchRows || w.bytes >= batchBytes || len(w.args)+len(row) > batchArgs {
		return w.flush()
	}
	return nil
}

// flush writes what is left.
func (w *inserter) flush() error {
	if w.rows == 0 {
		return nil
	}
	names := w.table.names()
	row := ", (" + database.Marks(len(names)) + ")"
	_, err := w.tx.Exec("INSERT INTO "+w.table.name+" ("+strings.Join(names, ", ")+") VALUES "+strings.Repeat(row, w.rows)[2:], w.args...)
	if err != nil {
		return fmt.Errorf("table %s: %w", w.table.name, err)
	}
	w.total += int64(w.rows)
	w.args, w.rows, w.bytes = w.args[:0], 0, 0
	if w.done != nil {
		w.done(w.table.name, w.total)
	}
	return nil
}

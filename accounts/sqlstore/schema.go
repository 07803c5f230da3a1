package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rondo-chat/rondo/internal/database"
)

// kind is what a column holds, on any engine.
type kind string

// The kinds. Times are integers, lists and JSON are text: the same bytes everywhere.
const (
	kindText    kind = "text"
	kindInteger kind = "integer"
	kindBoolean kind = "boolean"
	kindBytes   kind = "bytes"
)

// column is a column of a table.
type column struct {
	Name string
	Kind kind
	null bool // may be NULL
}

// table is a table with its columns in the order of their names.
type table struct {
	name    string
	columns []column
}

// names lists the columns.
func (t table) names() []string {
	list := make([]string, len(t.columns))
	for i, c := range t.columns {
		list[i] = c.Name
	}
	return list
}

// fits returns an error unless the columns are these.
func (t table) fits(columns []column) error {
	same := func(a, b column) bool { return a.Name == b.Name && a.Kind == b.Kind }
	if !slices.EqualFunc(t.columns, columns, same) {
		return fmt.Errorf("table %s has other columns there: %v, not %v", t.name, t.columns, columns)
	}
	return nil
}

// String shows the column in errors.
func (c column) String() string { return c.Name + " " + string(c.Kind) }

// set is a set of migrations: those of one part of the program.
type set struct {
	name  string
	files fs.FS
}

// sets lists all that is copied, the accounts first.
func (s *Store) sets() []set { return append([]set{{setName, s.files}}, s.others...) }

// versions says which version of each set there is; 0: no table of it.
type versions map[string]int64

// schema is the tables of one version of each set, in the order in which they are made: what a table
// refers to comes before it.
type schema struct {
	versions versions
	tables   []table
}

// table returns the table with the name; one without columns if there is none.
func (s schema) table(name string) table {
	i := slices.IndexFunc(s.tables, func(t table) bool { return t.name == name })
	if i < 0 {
		return table{name: name}
	}
	return s.tables[i]
}

var (
	errNoTables = errors.New("there are no accounts in this database: no server has used it yet")
	errTooNew   = errors.New("the database is newer than this program: use the version of Rondo that wrote it")
)

// schemaOf reads which versions a database has and what its tables look like.
func (s *Store) schemaOf(q database.Queryer) (schema, error) {
	have := schema{versions: versions{}}
	for _, set := range s.sets() {
		version, err := set.versionOf(q)
		if err != nil {
			return schema{}, err
		}
		newest, err := set.newest(q.Engine())
		switch {
		case err != nil:
			return schema{}, err
		case version == 0 && set.name == setName:
			return schema{}, errNoTables
		case version > newest:
			return schema{}, errTooNew
		}
		have.versions[set.name] = version
		tables, err := set.describe(q, version)
		if err != nil {
			return schema{}, err
		}
		have.tables = append(have.tables, tables...)
	}
	return have, nil
}

// describe reads what the tables of the version look like.
func (s set) describe(q database.Queryer, version int64) ([]table, error) {
	names, err := s.tablesAt(q.Engine(), version)
	if err != nil {
		return nil, err
	}
	var tables []table
	for _, name := range names {
		columns, err := columnsOf(q, name)
		if err != nil {
			return nil, err
		}
		if len(columns) == 0 {
			return nil, fmt.Errorf("table %s is missing in the database", name)
		}
		tables = append(tables, table{name: name, columns: columns})
	}
	return tables, nil
}

// versionOf returns the version of the newest migration that ran; 0: none did.
func (s set) versionOf(q database.Queryer) (version int64, err error) {
	versions := "goose_" + s.name
	columns, err := describe(q, versions)
	if err != nil || len(columns) == 0 {
		return 0, err
	}
	err = q.QueryRow("SELECT COALESCE(MAX(version_id), 0) FROM " + versions + " WHERE is_applied = TRUE").Scan(&version)
	return version, err
}

// migrateTo brings the tables to versions that the program knows, not further.
func (s *Store) migrateTo(ctx context.Context, want versions) error {
	for _, set := range s.sets() {
		if version := want[set.name]; version > 0 {
			if err := s.db.Migrate(ctx, set.name, upTo{set.files, version}); err != nil {
				return err
			}
		}
	}
	return nil
}

// migrateOn brings the sets of which there are tables up to date.
func (s *Store) migrateOn(ctx context.Context, have versions) error {
	newest := versions{}
	for name, version := range have {
		if version > 0 {
			newest[name] = math.MaxInt64 - 1
		}
	}
	return s.migrateTo(ctx, newest)
}

// upTo is a folder of migrations without those after a version.
type upTo struct {
	fs.FS
	version int64
}

// ReadDir implements fs.ReadDirFS.
func (u upTo) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(u.FS, name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() && versionIn(e.Name()) > u.version }), err
}

// versionIn is the version in the name of a migration, NNNNN_name.sql.
func versionIn(name string) int64 {
	number, _, _ := strings.Cut(path.Base(name), "_")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return math.MaxInt64 // not a migration
	}
	return version
}

// newest is the version of the last migration.
func (s set) newest(engine database.Engine) (int64, error) {
	files, err := s.migrationFiles(engine)
	if err != nil || len(files) == 0 {
		return 0, err
	}
	return versionIn(files[len(files)-1]), nil
}

// migrationFiles lists the engine's migrations in their order.
func (s set) migrationFiles(engine database.Engine) ([]string, error) {
	files, err := fs.Glob(s.files, "migrations/"+string(engine)+"/*.sql")
	if err != nil {
		return nil, err
	}
	slices.SortFunc(files, func(a, b string) int { return int(versionIn(a) - versionIn(b)) })
	return files, nil
}

var (
	makesTable = regexp.MustCompile(`(?im)^\s*(CREATE|DROP)\s+TABLE\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?([a-z_][a-z0-9_]*)`)
	downwards  = regexp.MustCompile(`(?m)^--\s*\+goose\s+Down`)
)

// tablesAt lists the tables of a version, in the order in which the migrations make them. It reads the
// migrations and not the database, which may hold tables of others. That it finds all is tested
// against the databases.
func (s set) tablesAt(engine database.Engine, version int64) ([]string, error) {
	files, err := s.migrationFiles(engine)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range files {
		if versionIn(file) > version {
			break
		}
		text, err := fs.ReadFile(s.files, file)
		if err != nil {
			return nil, err
		}
		up := downwards.Split(string(text), 2)[0]
		for _, m := range makesTable.FindAllStringSubmatch(up, -1) {
			names = slices.DeleteFunc(names, func(n string) bool { return n == m[2] })
			if strings.EqualFold(m[1], "CREATE") {
				names = append(names, m[2])
			}
		}
	}
	return names, nil
}

// columnsOf lists the columns of a table in the order of their names; none: there is no such table.
func columnsOf(q database.Queryer, name string) ([]column, error) {
	columns, err := describe(q, name)
	if err != nil {
		return nil, err
	}
	for i, c := range columns {
		if columns[i].Kind, err = kindOf(string(c.Kind)); err != nil {
			return nil, fmt.Errorf("table %s, column %s: %w", name, c.Name, err)
		}
	}
	slices.SortFunc(columns, func(a, b column) int { return strings.Compare(a.Name, b.Name) })
	return columns, nil
}

// describe asks the database; Kind is its own word for the type. Columns that the database makes itself are left out.
func describe(q database.Queryer, name string) ([]column, error) {
	query := "SELECT column_name, data_type, is_nullable FROM information_schema.columns" +
		" WHERE table_schema = current_schema() AND table_name = ? AND is_generated = 'NEVER'"
	switch q.Engine() {
	case database.SQLite:
		query = `SELECT name, type, CASE WHEN "notnull" THEN 'NO' ELSE 'YES' END FROM pragma_table_info(?)`
	case database.MySQL:
		// A column of bytes may say that they are text: one in which spaces at the end count.
		query = "SELECT column_name, CASE column_comment WHEN 'text' THEN 'text' ELSE column_type END, is_nullable" +
			" FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?"
	}
	rows, err := q.Query(query, name)
	return database.All(rows, err, func(row database.Scanner) (column, error) {
		var c column
		var null string
		err := row.Scan(&c.Name, &c.Kind, &null)
		c.null = null == "YES"
		return c, err
	})
}

// kindOf tells what a type of any engine holds.
func kindOf(declared string) (kind, error) {
	word := strings.ToLower(declared)
	if word == "tinyint(1)" { // how MariaDB and MySQL call BOOLEAN
		return kindBoolean, nil
	}
	word, _, _ = strings.Cut(word, "(")
	switch word {
	case "boolean":
		return kindBoolean, nil
	case "bigint", "integer", "int", "smallint":
		return kindInteger, nil
	case "text", "mediumtext", "longtext", "varchar", "character varying":
		return kindText, nil
	case "blob", "mediumblob", "longblob", "varbinary", "bytea":
		return kindBytes, nil
	}
	return "", fmt.Errorf("the type %s is not known to copies: add it to kindOf", declared)
}

// vacant returns an error if any table of the program is there and has a row.
func (s *Store) vacant(q database.Queryer) error {
	var names []string
	for _, set := range s.sets() {
		tables, err := set.tablesAt(q.Engine(), math.MaxInt64)
		if err != nil {
			return err
		}
		names = append(names, tables...)
	}
	for _, name := range names {
		columns, err := describe(q, name)
		if err != nil {
			return err
		}
		if len(columns) == 0 {
			continue
		}
		err = q.QueryRow("SELECT 1 FROM " + name + " LIMIT 1").Scan(new(int))
		if err == nil {
			return fmt.Errorf("%w: table %s has rows", ErrOccupied, name)
		}
		if !errors.Is(err, database.ErrNotFound) {
			return err
		}
	}
	return nil
}

// ErrOccupied means that a database that is to be filled is not empty.
var ErrOccupied = errors.New("the database that is to be filled is not empty")

// prepare gives an empty database the tables of these versions.
func (s *Store) prepare(ctx context.Context, want versions) error {
	if err := s.db.Read(ctx, "vacant", s.vacant); err != nil {
		return err
	}
	if err := s.migrateTo(ctx, want); err != nil {
		return err
	}
	return s.db.Read(ctx, "version", func(q database.Queryer) error {
		for _, set := range s.sets() {
			have, err := set.versionOf(q)
			if err != nil {
				return err
			}
			if want := want[set.name]; want > 0 && have != want {
				return fmt.Errorf("the tables of %s there have version %d already, those to copy %d: use a database that has no tables yet",
					set.name, have, want)
			}
		}
		return nil
	})
}

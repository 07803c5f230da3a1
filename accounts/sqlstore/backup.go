package sqlstore

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rondo-chat/rondo/internal/database"
)

// backupFormat is the version of the format of files. A file is lines of JSON: a Header; for each table a
// section, its rows as arrays (bytes in base64), and the section's end; and a trailer with the SHA-256 of
// all lines before it.
//
// Version 1 has accounts only.
const backupFormat = 2

// ephemeral lists the tables that backups leave out: what lives for minutes, and sessions. After a
// restore they would bring sessions back that ended since, and mails that were sent.
func ephemeral() []string {
	return []string{"sessions", "refresh_tokens", "registrations", "one_time_codes", "mail_outbox", "idempotency_keys"}
}

// Header is what a backup says of itself.
type Header struct {
	Format int   `json:"rondo_backup"`
	Schema int64 `json:"schema"` // version of the tables
	// Others are the versions of the tables of other parts (Store.With).
	Others  map[string]int64 `json:"others,omitempty"`
	Made    time.Time        `json:"made"`
	Program string           `json:"program"`
	// Secret is auth.Signer.Fingerprint of the service's secret, without which much of the backup is of no use.
	Secret string `json:"secret"`
}

// describe says which tables the backup has.
func (h *Header) describe(have versions) {
	h.Format, h.Schema, h.Others = 1, have[setName], nil // a program that is older can read it
	for name, version := range have {
		if name != setName && version > 0 {
			if h.Others == nil {
				h.Format, h.Others = backupFormat, map[string]int64{}
			}
			h.Others[name] = version
		}
	}
}

// versions is what describe was told.
func (h *Header) versions() versions {
	all := versions{setName: h.Schema}
	for name, version := range h.Others {
		all[name] = version
	}
	return all
}

// section begins a table.
type section struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
	Kinds   []kind   `json:"kinds"`
}

// sectionEnd ends it.
type sectionEnd struct {
	End string `json:"end"` // the table
	Count
}

// trailer ends the file.
type trailer struct {
	SHA256 string `json:"sha256"`
}

// Backup writes one snapshot of the tables, but the ephemeral ones, to a file that only its owner can read.
// The file is there when it is whole and on disk; one that exists is not replaced. Format and Schema of h are
// filled in.
func (s *Store) Backup(ctx context.Context, path string, h Header, progress Progress) ([]Check, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s: %w", path, os.ErrExist)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) // after the rename it is gone
	defer f.Close()
	checks, err := s.writeBackup(ctx, f, h, progress)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(f.Name(), path); errors.Is(err, os.ErrExist) { // unlike a rename it replaces nothing
		return nil, fmt.Errorf("%s: %w", path, os.ErrExist)
	} else if err != nil { // a file system without links
		if err := os.Rename(f.Name(), path); err != nil {
			return nil, err
		}
	}
	return checks, syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func (s *Store) writeBackup(ctx context.Context, f io.Writer, h Header, progress Progress) ([]Check, error) {
	var checks []Check
	began := false
	buffered := bufio.NewWriterSize(f, 1<<16)
	w := &lineWriter{w: buffered, hash: sha256.New()}
	err := s.db.Read(ctx, "backup", func(q database.Queryer) error {
		if began { // half a snapshot is in the file
			return errors.New("the database failed in the middle of the backup")
		}
		began = true
		have, err := s.schemaOf(q)
		if err != nil {
			return err
		}
		h.describe(have.versions)
		if err := w.write(h); err != nil {
			return err
		}
		for _, t := range have.tables {
			if slices.Contains(ephemeral(), t.name) {
				continue
			}
			count, err := w.table(ctx, q, t, progress)
			if err != nil {
				return err
			}
			checks = append(checks, Check{Table: t.name, Source: count, Copy: count})
		}
		return w.write(trailer{SHA256: w.sum()})
	})
	return checks, errors.Join(err, buffered.Flush())
}

// lineWriter writes lines and hashes them.
type lineWriter struct {
	w    io.Writer
	hash hash.Hash
}

func (w *lineWriter) sum() string { return hex.EncodeToString(w.hash.Sum(nil)) }

func (w *lineWriter) write(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	w.hash.Write(line)
	_, err = w.w.Write(line)
	return err
}

func (w *lineWriter) table(ctx context.Context, q database.Queryer, t table, progress Progress) (Count, error) {
	begin := section{Table: t.name, Columns: t.names()}
	for _, c := range t.columns {
		begin.Kinds = append(begin.Kinds, c.Kind)
	}
	if err := w.write(begin); err != nil {
		return Count{}, err
	}
	var sum tally
	err := t.scan(ctx, q, func(row []any) error {
		sum.add(row)
		if progress != nil && sum.rows%batchRows == 0 {
			progress(t.name, sum.rows)
		}
		return w.write(row)
	})
	if err != nil {
		return Count{}, err
	}
	return sum.count(), w.write(sectionEnd{End: t.name, Count: sum.count()})
}

// maxLine bounds a line of a backup in bytes: far more than a row has.
const maxLine = 64 << 20

// Errors of a file that is no whole backup.
var (
	errNoBackup = errors.New("this is no backup of Rondo")
	errNewer    = errors.New("the backup is newer than this program: use the version of Rondo that made it")
	errCutOff   = errors.New("the backup is cut off: its last line is missing")
	errDamaged  = errors.New("the backup is damaged: its checksum does not fit what is in it")
)

// Backup is a file that was checked to be whole.
type Backup struct {
	Header Header
	f      *os.File
}

// OpenBackup opens a backup and reads all of it once to see that it is whole.
func OpenBackup(path string) (*Backup, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b := &Backup{f: f}
	if err := b.verify(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// Close closes the file.
func (b *Backup) Close() error { return b.f.Close() }

func (b *Backup) verify() error {
	r := bufio.NewReaderSize(b.f, 1<<16)
	line, err := readLine(r)
	if err != nil || json.Unmarshal(line, &b.Header) != nil || b.Header.Format < 1 {
		return errNoBackup
	}
	if b.Header.Format > backupFormat {
		return errNewer
	}
	sum := sha256.New()
	for {
		sum.Write(line)
		if line, err = readLine(r); err != nil {
			return err
		}
		if !bytes.HasPrefix(line, []byte(`{"sha256":`)) {
			continue
		}
		var end trailer
		if json.Unmarshal(line, &end) != nil || end.SHA256 != hex.EncodeToString(sum.Sum(nil)) {
			return errDamaged
		}
		if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
			return errDamaged
		}
		return nil
	}
}

// readLine reads a line with its end.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case errors.Is(err, io.EOF):
			return nil, errCutOff
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(line) > maxLine:
			return nil, errDamaged
		}
	}
}

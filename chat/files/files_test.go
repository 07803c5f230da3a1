package files

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	room  protocol.RoomID = "c_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	annID protocol.UserID = "u_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	boID  protocol.UserID = "u_bbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// record is a Conversations of one room in which Ann may write, and all may read what Ann did not keep.
type record struct {
	mu     sync.Mutex
	rows   map[string]conversations.File
	refuse error // what Attach answers
}

func (r *record) MayWrite(_ context.Context, who conversations.Caller, in protocol.RoomID) error {
	if in != room || who.Identity == boID {
		return protocol.Errorf(protocol.CodeNotFound, "there is no such conversation")
	}
	return nil
}

func (r *record) Attach(_ context.Context, _ conversations.Caller, _ protocol.RoomID, f conversations.File) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse == nil {
		r.rows[f.ID] = f
	}
	return r.refuse
}

func (r *record) File(_ context.Context, who conversations.Caller, id string) (conversations.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.rows[id]
	if !ok || f.Owner != who.Identity {
		return conversations.File{}, protocol.Errorf(protocol.CodeNotFound, "there is no such file")
	}
	return f, nil
}

// memory is a Blobs that fails when it is told to.
type memory struct {
	Blobs
	mu    sync.Mutex
	names []string
	fail  error
}

func (m *memory) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	m.mu.Lock()
	m.names = append(m.names, name)
	err := m.fail
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.Blobs.Put(ctx, name, r, size)
}

type bench struct {
	*Files
	record *record
	blobs  *memory
	dir    string
}

func newBench(t *testing.T, change ...func(*Config)) *bench {
	t.Helper()
	dir := t.TempDir()
	disk, err := OpenDisk(filepath.Join(dir, "files"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Close() })
	b := &bench{record: &record{rows: map[string]conversations.File{}}, blobs: &memory{Blobs: disk}, dir: dir}
	cfg := Config{Blobs: b.blobs, Conversations: b.record, Spool: filepath.Join(dir, "spool"), Registerer: prometheus.NewRegistry()}
	for _, c := range change {
		c(&cfg)
	}
	if b.Files, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return b
}

func caller(id protocol.UserID) conversations.Caller {
	return conversations.Caller{Principal: auth.Principal{Identity: id, Guest: strings.HasPrefix(string(id), "g_")}}
}

func (b *bench) upload(ctx context.Context, name string, body io.Reader) (protocol.ConvFile, error) {
	return b.Upload(ctx, caller(annID), room, Source{Name: name, Network: "192.0.2.1", Body: body})
}

func aPNG(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestUpload: a picture is a picture whatever it is called, and what is none is none.
func TestUpload(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]struct {
		data []byte
		want protocol.ConvFile
	}{
		"holiday.JPEG":         {aPNG(t, 30, 20), protocol.ConvFile{Name: "holiday.png", Type: "image/png", Width: 30, Height: 20}},
		"picture.png":          {[]byte("<html><script>alert(1)</script>"), protocol.ConvFile{Name: "picture.png", Type: Other}},
		"drawing.svg":          {[]byte("<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"), protocol.ConvFile{Name: "drawing.svg", Type: Other}},
		"../../../etc/pa\x00s": {[]byte("%PDF-1.7"), protocol.ConvFile{Name: "pas", Type: Other}},
		"":                     {[]byte("x"), protocol.ConvFile{Name: "file", Type: Other}},
	} {
		got, err := b.upload(t.Context(), name, bytes.NewReader(c.data))
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if !strings.HasPrefix(got.ID, "f_") || got.Name != c.want.Name || got.Type != c.want.Type || got.Width != c.want.Width || got.Height != c.want.Height {
			t.Errorf("%q: %+v", name, got)
		}
		row, blob, err := b.Open(t.Context(), caller(annID), got.ID)
		if err != nil {
			t.Errorf("%q: open: %v", name, err)
			continue
		}
		data, err := io.ReadAll(blob)
		if err = errors.Join(err, blob.Close()); err != nil || row != got || int64(len(data)) != got.Size || got.Type == Other && !bytes.Equal(data, c.data) {
			t.Errorf("%q: %+v, %d bytes, %v", name, row, len(data), err)
		}
	}
	if list, err := os.ReadDir(filepath.Join(b.dir, "spool")); err != nil || len(list) > 0 {
		t.Errorf("%d left in the spool, %v", len(list), err)
	}
	if n := testutil.ToFloat64(b.uploads.WithLabelValues("kept")); n != 5 {
		t.Errorf("%v kept", n)
	}
}

// TestOnlyWhoMay: another's file, and one of a room in which one may not write, is not_found, and nothing
// is read of the body.
func TestOnlyWhoMay(t *testing.T) {
	b := newBench(t)
	mine, err := b.upload(t.Context(), "a", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{mine.ID, "f_" + NewName(), mine.ID + "a", "", "f_", "../" + mine.ID, mine.ID[2:], strings.ToUpper(mine.ID), b.blobs.names[0], "f_" + b.blobs.names[0]} {
		who := caller(boID)
		if id != mine.ID {
			who = caller(annID)
		}
		if _, _, err := b.Open(t.Context(), who, id); protocol.CodeOf(err) != protocol.CodeNotFound {
			t.Errorf("%q: %v", id, err)
		}
	}
	body := iotest.ErrReader(errors.New("somebody read it"))
	if _, err := b.Upload(t.Context(), caller(boID), room, Source{Body: body}); protocol.CodeOf(err) != protocol.CodeNotFound {
		t.Errorf("who may not write: %v", err)
	}
	if len(b.blobs.names) != 1 {
		t.Errorf("%d blobs", len(b.blobs.names))
	}
}

// TestRefused: what is refused leaves neither a row nor bytes.
func TestRefused(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxBytes = 10_000 })
	broken := aPNG(t, 10, 10)
	for name, c := range map[string]struct {
		body io.Reader
		want protocol.Code
	}{
		"empty":            {strings.NewReader(""), protocol.CodeBadRequest},
		"too large":        {bytes.NewReader(make([]byte, 10_001)), protocol.CodeTooLarge},
		"without end":      {zeros{}, protocol.CodeTooLarge},
		"a broken picture": {bytes.NewReader(broken[:len(broken)-20]), protocol.CodeBadRequest},
		"breaks":           {io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errors.New("gone"))), protocol.CodeBadRequest},
	} {
		if _, err := b.upload(t.Context(), name, c.body); protocol.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if len(b.record.rows) > 0 || len(b.blobs.names) > 0 {
		t.Errorf("%d rows, %d blobs", len(b.record.rows), len(b.blobs.names))
	}
	if _, err := b.upload(t.Context(), "just right", bytes.NewReader(make([]byte, 10_000))); err != nil {
		t.Error(err)
	}
}

// nowhere is a Blobs that keeps nothing.
type nowhere struct{ Blobs }

func (nowhere) Put(context.Context, string, io.Reader, int64) error { return nil }

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// TestRowBeforeBytes: bytes that nobody knows of are never kept; a row without bytes is not_found.
func TestRowBeforeBytes(t *testing.T) {
	b := newBench(t)
	b.record.refuse = protocol.Errorf(protocol.CodeForbidden, "no more")
	if _, err := b.upload(t.Context(), "a", strings.NewReader("x")); protocol.CodeOf(err) != protocol.CodeForbidden || len(b.blobs.names) > 0 {
		t.Errorf("%v, %d blobs", err, len(b.blobs.names))
	}
	b.record.refuse, b.blobs.fail = nil, errors.New("disk full: /var/lib/secret/path")
	_, err := b.upload(t.Context(), "a", strings.NewReader("x"))
	if protocol.CodeOf(err) != protocol.CodeUnavailable || strings.Contains(err.Error(), "secret") || len(b.record.rows) != 1 {
		t.Errorf("%v, %d rows", err, len(b.record.rows))
	}
	for id := range b.record.rows {
		if _, _, err := b.Open(t.Context(), caller(annID), id); protocol.CodeOf(err) != protocol.CodeNotFound {
			t.Errorf("open: %v", err)
		}
	}
}

// TestDaysShare: so many files and bytes for a user, a tenth of it for a guest, and a bound for one network whoever
// asks from there; others go on.
func TestDaysShare(t *testing.T) {
	b := newBench(t, func(c *Config) { c.DayFiles, c.DayBytes = 20, 1000 })
	b.blobs.Blobs = nowhere{}
	send := func(who protocol.UserID, network string, n int) protocol.Code {
		_, err := b.Upload(t.Context(), caller(who), room, Source{Name: "a", Network: network, Body: bytes.NewReader(make([]byte, n))})
		return protocol.CodeOf(err)
	}
	count := func(who func(i int) protocol.UserID, network func(i int) string, size int) (kept int) {
		for i := range 500 {
			if code := send(who(i), network(i), size); code == protocol.CodeRateLimited {
				return kept
			} else if code != "" {
				t.Fatal(code)
			}
			kept++
		}
		return kept
	}
	one := func(id protocol.UserID) func(int) protocol.UserID { return func(int) protocol.UserID { return id } }
	elsewhere := func(what string) func(int) string { return func(i int) string { return fmt.Sprint(what, i) } }
	if n := count(one(annID), elsewhere("a"), 10); n != 20 {
		t.Errorf("a user: %d files", n)
	}
	if n := count(one("g_aaaaaaaaaaaaaaaaaaaaaaaaaa"), elsewhere("b"), 10); n != 2 {
		t.Errorf("a guest: %d files", n)
	}
	if n := count(one("u_cccccccccccccccccccccccccc"), elsewhere("c"), 400); n != 2 {
		t.Errorf("a user: %d files of 400 bytes", n)
	}
	people := func(i int) protocol.UserID { return protocol.UserID(fmt.Sprintf("g_%026d", i)) }
	if n := count(people, func(int) string { return "192.0.2.9" }, 10); n != 200 {
		t.Errorf("a network: %d files", n)
	}
	if code := send("u_dddddddddddddddddddddddddd", "192.0.2.10", 10); code != "" {
		t.Errorf("others: %s", code)
	}
}

// aBomb is a PNG of a few bytes that says it is so large.
func aBomb(t *testing.T, w, h int) []byte {
	data := aPNG(t, 8, 8)
	binary.BigEndian.PutUint32(data[16:], uint32(w))
	binary.BigEndian.PutUint32(data[20:], uint32(h))
	binary.BigEndian.PutUint32(data[29:], crc32.ChecksumIEEE(data[12:29]))
	return data
}

// TestImageBombs: refused at once and without the memory that they ask for; the next picture is taken.
func TestImageBombs(t *testing.T) {
	b := newBench(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20 {
		if _, err := b.upload(t.Context(), "bomb.png", bytes.NewReader(aBomb(t, 60_000, 60_000))); protocol.CodeOf(err) != protocol.CodeTooLarge {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
		t.Errorf("20 bombs took %d bytes", took)
	}
	if _, err := b.upload(t.Context(), "good.png", bytes.NewReader(aPNG(t, 8, 8))); err != nil {
		t.Error(err)
	}
}

// TestZipBombs: nothing is ever unpacked: what is packed is kept as it came.
func TestZipBombs(t *testing.T) {
	b := newBench(t)
	var zipped, gzipped bytes.Buffer
	z := zip.NewWriter(&zipped)
	w, err := z.Create("zeros")
	if err != nil {
		t.Fatal(err)
	}
	g := gzip.NewWriter(&gzipped)
	for _, w := range []io.Writer{w, g} {
		if _, err := io.CopyN(w, zeros{}, 4<<20); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), g.Close()); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"bomb.zip": zipped.Bytes(), "bomb.gz": gzipped.Bytes(), "bomb.svgz": gzipped.Bytes()} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := b.upload(t.Context(), name, bytes.NewReader(data))
		runtime.ReadMemStats(&after)
		if err != nil || got.Type != Other || got.Size != int64(len(data)) || after.TotalAlloc-before.TotalAlloc > 1<<20 {
			t.Errorf("%s of %d bytes: %+v, %v, %d bytes of memory", name, len(data), got, err, after.TotalAlloc-before.TotalAlloc)
		}
	}
}

// TestPicturesWait: only so many are worked on at once; who waits too long is told to come back, and
// what is no picture does not wait.
func TestPicturesWait(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Works = 1 })
	b.works <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.upload(ctx, "a.png", bytes.NewReader(aPNG(t, 8, 8))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a picture: %v", err)
	}
	if _, err := b.upload(t.Context(), "a.txt", strings.NewReader("text")); err != nil {
		t.Errorf("text: %v", err)
	}
	<-b.works
	if _, err := b.upload(t.Context(), "a.png", bytes.NewReader(aPNG(t, 8, 8))); err != nil {
		t.Errorf("later: %v", err)
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("é", 200)
	for in, want := range map[string]string{
		"a.txt": "a.txt", "  a  b.txt ": "a b.txt", "": "file", "...": "file", "/": "file", "a/b\\c.txt": "c.txt", "C:\\x\\y.doc": "y.doc", "../../../etc/passwd": "passwd", "..": "file", "a\r\nSet-Cookie: x.txt": "a Set-Cookie x.txt",
		"\u202egnp.exe": "gnp.exe", "a\x00b": "ab", "\"q\".txt": "q.txt", "\xff\xfea.txt": "a.txt", long + ".tar": strings.Repeat("é", 58) + ".tar", "Zoe\u0308.jpg": "Zoë.jpg", ".htaccess": "htaccess", "李.pdf": "李.pdf", "a<b>.html": "ab.html",
	} {
		if got := cleanName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := nameAs(strings.Repeat("a", 120), "image/png"); len(got) != 120 || !strings.HasSuffix(got, ".png") {
		t.Errorf("%q", got)
	}
}

// FuzzName: one line, short, no folder, nothing that turns text around.
func FuzzName(f *testing.F) {
	for _, s := range []string{"a.txt", "../x", "\u202eabc", strings.Repeat("e\u0301", 100), "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := cleanName(s)
		if got == "" || len(got) > maxName || got == "." || got == ".." || strings.ContainsAny(got, "/\\\x00\r\n\"") || strings.ToValidUTF8(got, "") != got ||
			strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
			t.Errorf("%q: %q", s, got)
		}
	})
}

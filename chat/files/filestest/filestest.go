// Package filestest holds the promises of files.Blobs over a driver.
package filestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/rondo-chat/rondo/chat/files"
)

// Run tests the driver; open returns one over the same empty storage, each time another one if that makes a difference.
func Run(t *testing.T, open func(t *testing.T) files.Blobs) {
	for name, test := range map[string]func(*testing.T, files.Blobs, files.Blobs){
		"PutOpenDelete": putOpenDelete, "Sizes": sizes, "Ranges": ranges, "Names": names, "Halves": halves, "Cancelled": cancelled, "AtOnce": atOnce, "Again": again,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t), open(t)) })
	}
}

// content is so many bytes that do not repeat.
func content(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b)
	return b
}

func put(t *testing.T, b files.Blobs, data []byte) string {
	t.Helper()
	name := files.NewName()
	if err := b.Put(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	return name
}

// read returns what is there, nil if nothing is.
func read(t *testing.T, b files.Blobs, name string) []byte {
	t.Helper()
	blob, err := b.Open(t.Context(), name)
	if errors.Is(err, files.ErrNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = blob.Close() }()
	data, err := io.ReadAll(blob)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(data)) != blob.Size() {
		t.Errorf("it says %d bytes and has %d", blob.Size(), len(data))
	}
	return append([]byte{}, data...)
}

// putOpenDelete: what one node put another one reads, until it is deleted.
func putOpenDelete(t *testing.T, a, b files.Blobs) {
	data := content(1000)
	name, other := put(t, a, data), put(t, a, content(10))
	if got := read(t, b, name); !bytes.Equal(got, data) {
		t.Errorf("%d bytes, not the same", len(got))
	}
	if got := read(t, b, files.NewName()); got != nil {
		t.Errorf("of another name: %q", got)
	}
	for range 2 { // the second time it is not there
		if err := b.Delete(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if got := read(t, a, name); got != nil {
		t.Error("it is still there")
	}
	if got := read(t, a, other); len(got) != 10 {
		t.Error("another one is gone too")
	}
}

func sizes(t *testing.T, a, b files.Blobs) {
	for _, n := range []int{0, 1, 511, 4096, 64<<10 + 1, 3<<20 + 3} {
		data := content(n)
		if got := read(t, b, put(t, a, data)); got == nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %d came back, or others", n, len(got))
		}
	}
}

// ranges: a part can be read, as a browser asks for one.
func ranges(t *testing.T, a, b files.Blobs) {
	data := content(300_000)
	blob, err := b.Open(t.Context(), put(t, a, data))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = blob.Close() }()
	for _, at := range []int64{0, 1, 299_999, 150_000, 7} {
		if got, err := blob.Seek(at, io.SeekStart); err != nil || got != at {
			t.Fatalf("seek %d: %d, %v", at, got, err)
		}
		part := make([]byte, min(1000, len(data)-int(at)))
		if _, err := io.ReadFull(blob, part); err != nil || !bytes.Equal(part, data[at:int(at)+len(part)]) {
			t.Errorf("from %d: not the same, %v", at, err)
		}
	}
	if end, err := blob.Seek(0, io.SeekEnd); err != nil || end != 300_000 {
		t.Errorf("the end is at %d, %v", end, err)
	}
}

// Hostile are names that are none.
func Hostile() []string {
	good := strings.Repeat("a", 26)
	return []string{
		"", ".", "..", "/", "a", good + "a", good[1:], strings.ToUpper(good), "../" + good[3:], good[:23] + "/..", "..\\" + good[3:], "/" + good[1:], good[:25] + "\x00", good[:25] + "\n",
		good[:25] + "1", good[:25] + ".", "%2e%2e%2f" + good[9:], "../../../../etc/passwd", "/etc/passwd", "incoming", "C:" + good[2:], good[:24] + "é", "?versionId" + good[10:], "~" + good[1:],
	}
}

// names: whatever is no name reaches nothing.
func names(t *testing.T, a, _ files.Blobs) {
	for _, name := range Hostile() {
		if err := a.Put(t.Context(), name, strings.NewReader("x"), 1); !errors.Is(err, files.ErrName) {
			t.Errorf("put %q: %v", name, err)
		}
		if _, err := a.Open(t.Context(), name); !errors.Is(err, files.ErrName) {
			t.Errorf("open %q: %v", name, err)
		}
		if err := a.Delete(t.Context(), name); !errors.Is(err, files.ErrName) {
			t.Errorf("delete %q: %v", name, err)
		}
	}
	for range 100 {
		if err := files.CheckName(files.NewName()); err != nil {
			t.Fatal(err)
		}
	}
}

// halves: of what did not arrive whole nothing is there, and what was there stays.
func halves(t *testing.T, a, b files.Blobs) {
	data, broken := content(100_000), errors.New("broken")
	for what, r := range map[string]io.Reader{
		"breaks":    io.MultiReader(bytes.NewReader(data[:60_000]), iotest.ErrReader(broken)),
		"too short": bytes.NewReader(data[:99_999]),
		"too long":  bytes.NewReader(append(content(100_000), 1)),
	} {
		name := files.NewName()
		if err := a.Put(t.Context(), name, r, 100_000); err == nil {
			t.Errorf("%s: no error", what)
		}
		if got := read(t, b, name); got != nil {
			t.Errorf("%s: %d bytes are there", what, len(got))
		}
	}
}

func cancelled(t *testing.T, a, b files.Blobs) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	name := files.NewName()
	if err := a.Put(ctx, name, bytes.NewReader(content(1000)), 1000); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	if got := read(t, b, name); got != nil {
		t.Errorf("%d bytes are there", len(got))
	}
}

// atOnce: many put, read and delete beside one another.
func atOnce(t *testing.T, a, b files.Blobs) {
	var wait sync.WaitGroup
	for i := range 16 {
		wait.Go(func() {
			for j := range 4 {
				data, name := content(1000+100*i+j), files.NewName()
				if err := a.Put(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
					t.Error(err)
					return
				}
				if err := same(t.Context(), b, name, data); err != nil {
					t.Error(err)
				}
				if err := b.Delete(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}

func same(ctx context.Context, b files.Blobs, name string, data []byte) error {
	blob, err := b.Open(ctx, name)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(blob)
	if err == nil && !bytes.Equal(got, data) {
		err = fmt.Errorf("%d bytes of %d, or others", len(got), len(data))
	}
	return errors.Join(err, blob.Close())
}

// again: who puts a second time has the second; the first is never mixed with it.
func again(t *testing.T, a, b files.Blobs) {
	name := put(t, a, content(5000))
	next := content(300)
	if err := b.Put(t.Context(), name, bytes.NewReader(next), 300); err != nil {
		t.Fatal(err)
	}
	if got := read(t, a, name); !bytes.Equal(got, next) {
		t.Errorf("%d bytes", len(got))
	}
}

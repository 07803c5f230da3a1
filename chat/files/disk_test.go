package files_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/chat/files"
	"github.com/rondo-chat/rondo/chat/files/filestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openDisk(t *testing.T, dir string) *files.Disk {
	t.Helper()
	d, err := files.OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	filestest.Run(t, func(t *testing.T) files.Blobs { return openDisk(t, dir) })
	// What did not become a file has left nothing.
	if list, err := os.ReadDir(filepath.Join(dir, "incoming")); err != nil || len(list) > 0 {
		t.Errorf("%d left, %v", len(list), err)
	}
}

// TestDiskStaysInItsFolder: also through links that somebody put there.
func TestDiskStaysInItsFolder(t *testing.T) {
	dir, outside := filepath.Join(t.TempDir(), "files"), t.TempDir()
	d := openDisk(t, dir)
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	name := "aabb" + strings.Repeat("c", 22)
	if err := os.MkdirAll(filepath.Join(dir, "aa", "bb"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "aa", "bb", name)); err != nil {
		t.Fatal(err)
	}
	if b, err := d.Open(t.Context(), name); err == nil {
		_ = b.Close()
		t.Error("a link leads outside")
	}
	if err := os.Symlink(outside, filepath.Join(dir, "dd")); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(t.Context(), "dd"+strings.Repeat("e", 24), bytes.NewReader(nil), 0); err == nil {
		t.Error("a linked folder is written to")
	}
	if list, err := os.ReadDir(outside); err != nil || len(list) != 1 {
		t.Errorf("outside: %v, %v", list, err)
	}
}

// TestDiskModes: nobody else on the machine reads them.
func TestDiskModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "files")
	if err := openDisk(t, dir).Put(t.Context(), files.NewName(), strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestDiskTidies: what a crash left half written goes at a later start, what somebody works on stays.
func TestDiskTidies(t *testing.T) {
	dir := t.TempDir()
	openDisk(t, dir)
	old, fresh := filepath.Join(dir, "incoming", "old"), filepath.Join(dir, "incoming", "fresh")
	for _, f := range []string{old, fresh} {
		if err := os.WriteFile(f, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	openDisk(t, dir)
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("old: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("fresh: %v", err)
	}
}

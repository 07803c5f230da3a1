package auth

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const maxSecretFile = 4 << 10

// LoadOrCreateSecret reads the secret kept in the file, as hexadecimal digits,
// or makes one of 32 random bytes and keeps it there with mode 0600. Of several
// processes that start at once one makes it and all return the same. A file
// that its group or others may touch, or that holds fewer than 32 bytes, is an
// error: a secret that leaked once is not one.
func LoadOrCreateSecret(path string) (secret []byte, created bool, err error) {
	secret, err = loadSecret(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, false, err
	}
	secret = make([]byte, MinSecretBytes)
	rand.Read(secret) // never fails (crypto/rand)
	err = createSecret(path, secret)
	if errors.Is(err, fs.ErrExist) {
		secret, err = loadSecret(path)
		return secret, false, err
	}
	if err != nil {
		return nil, false, err
	}
	return secret, true, nil
}

func loadSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("auth: secret: %w", err)
	}
	defer f.Close()
	info, err := f.Stat() // of the open file: nobody can swap it in between
	if err != nil {
		return nil, fmt.Errorf("auth: secret: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("auth: secret file %s is not a regular file", path)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("auth: secret file %s has mode %#o: it must be closed to group and others (chmod 600), and the secret made new if others could read it", path, perm)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return nil, fmt.Errorf("auth: secret: %w", err)
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) < MinSecretBytes || len(text) > maxSecretFile {
		return nil, fmt.Errorf("auth: secret file %s must hold at least %d hexadecimal digits and nothing else", path, 2*MinSecretBytes)
	}
	return secret, nil
}

// createSecret writes beside path and then links it into place: whoever opens
// path sees all of it or nothing, and an existing file is never replaced.
func createSecret(path string, secret []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // mode 0600
	if err != nil {
		return fmt.Errorf("auth: secret: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(hex.EncodeToString(secret) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("auth: secret: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil {
		return fmt.Errorf("auth: secret: %w", err)
	}
	return nil
}

package files

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
)

var (
	// ErrNotFound means that there are no bytes of this name.
	ErrNotFound = errors.New("files: not found")
	// ErrName means that the name is none that NewName makes.
	ErrName = errors.New("files: not a name")
	// ErrSize means that other bytes arrived than were announced.
	ErrSize = errors.New("files: not of the size that was announced")
)

// Blobs keeps bytes by names of NewName. It is safe for concurrent use, also by several nodes.
// filestest holds its promises.
type Blobs interface {
	// Put keeps size bytes of r under the name: all of them, and on disk, if it returns nil; else nothing
	// of them is ever seen.
	Put(ctx context.Context, name string, r io.Reader, size int64) error
	// Open returns the bytes. ErrNotFound.
	Open(ctx context.Context, name string) (Blob, error)
	// Delete removes them; that they are not there is no error.
	Delete(ctx context.Context, name string) error
}

// Blob reads bytes that are kept. It belongs to one goroutine, and to the context of its Open.
type Blob interface {
	io.ReadSeekCloser
	Size() int64
}

const (
	nameLength = 26
	nameChars  = "abcdefghijklmnopqrstuvwxyz234567"
)

// NewName makes a name that nobody guesses (130 bits).
func NewName() string { return strings.ToLower(rand.Text()) }

// CheckName returns ErrName for what NewName does not make: all drivers call it first.
func CheckName(name string) error {
	if len(name) != nameLength || strings.Trim(name, nameChars) != "" {
		return ErrName
	}
	return nil
}

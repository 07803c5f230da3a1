package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"
)

const (
	// incoming is the folder of what is not whole yet.
	incoming = "incoming"
	// abandoned is how old what is not whole must be until nobody works on it any more.
	abandoned = time.Hour
)

// Disk is a Blobs in a folder: "abcd…" is the file ab/cd/abcd…. Nothing outside of the folder
// can be reached through it, also not by links (os.Root). Nodes may share the folder.
type Disk struct {
	root *os.Root
}

var _ Blobs = (*Disk)(nil)

// OpenDisk makes the folder if it is not there, and removes what a crash left half written.
func OpenDisk(dir string) (*Disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	d := &Disk{root}
	if err := d.mkdir(incoming); err != nil {
		return nil, errors.Join(fmt.Errorf("files: %w", err), root.Close())
	}
	d.tidy(time.Now())
	return d, nil
}

// Close closes the folder.
func (d *Disk) Close() error { return d.root.Close() }

// tidy removes what was never finished. Errors do not matter: the next start tries again.
func (d *Disk) tidy(now time.Time) {
	list, err := fs.ReadDir(d.root.FS(), incoming)
	if err != nil {
		return
	}
	for _, e := range list {
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > abandoned {
			_ = d.root.Remove(path.Join(incoming, e.Name()))
		}
	}
}

func place(name string) (folder, file string) {
	folder = path.Join(name[:2], name[2:4])
	return folder, path.Join(folder, name)
}

// Put implements Blobs: the bytes are written beside, brought to disk, and renamed.
func (d *Disk) Put(ctx context.Context, name string, r io.Reader, size int64) (err error) {
	if err := CheckName(name); err != nil {
		return err
	}
	temp := path.Join(incoming, NewName())
	defer func() {
		if err != nil {
			_ = d.root.Remove(temp)
			err = fmt.Errorf("files: put: %w", err)
		}
	}()
	if err := d.write(ctx, temp, r, size); err != nil {
		return err
	}
	folder, file := place(name)
	if err := d.mkdir(path.Dir(folder)); err != nil {
		return err
	}
	if err := d.mkdir(folder); err != nil {
		return err
	}
	if err := d.root.Rename(temp, file); err != nil {
		return err
	}
	return d.sync(folder)
}

func (d *Disk) write(ctx context.Context, temp string, r io.Reader, size int64) (err error) {
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// One byte more would show.
	n, err := io.Copy(f, io.LimitReader(contextReader{ctx, r}, size+1))
	switch {
	case err != nil:
		return err
	case n != size:
		return ErrSize
	}
	return f.Sync()
}

// mkdir makes a folder and brings its name to disk.
func (d *Disk) mkdir(folder string) error {
	err := d.root.Mkdir(folder, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.sync(path.Dir(folder))
}

// sync brings the names in a folder to disk.
func (d *Disk) sync(folder string) (err error) {
	f, err := d.root.Open(folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}

// Open implements Blobs.
func (d *Disk) Open(_ context.Context, name string) (Blob, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	_, file := place(name)
	f, err := d.root.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("files: open: %w", err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(errors.New("files: open: not a file"), err, f.Close())
	}
	return diskBlob{f, info.Size()}, nil
}

// Delete implements Blobs.
func (d *Disk) Delete(_ context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	_, file := place(name)
	if err := d.root.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("files: delete: %w", err)
	}
	return nil
}

type diskBlob struct {
	*os.File
	size int64
}

func (b diskBlob) Size() int64 { return b.size }

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}

package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/chat/files"
	"github.com/rondo-chat/rondo/chat/files/s3"
	"github.com/rondo-chat/rondo/server"
)

// filesConfig is the part of config that says where uploads are kept.
type filesConfig struct {
	Dir     string
	S3      string
	Region  string
	KeyFile string
}

func (f *filesConfig) flags(fs *flag.FlagSet) {
	fs.StringVar(&f.Dir, "files-dir", "", "`folder` where files that people upload are kept; several nodes share it (default <data>/files, of one node)")
	fs.StringVar(&f.S3, "files-s3", "", "`URL` of S3-compatible storage for them instead: https://host/bucket or https://host/bucket/prefix")
	fs.StringVar(&f.Region, "files-s3-region", "us-east-1", "`region` of that storage")
	fs.StringVar(&f.KeyFile, "files-s3-key-file", "", "`file` with the access key and the secret key, separated by white space")
}

func (f *filesConfig) validate() error {
	if f.S3 != "" && f.KeyFile == "" {
		return fmt.Errorf("%w: files-s3-key-file: is needed with files-s3", errUsage)
	}
	return nil
}

// storageTime bounds the look at the storage when the server starts.
const storageTime = 5 * time.Second

// openFiles lets people upload, where there is a place that all nodes have.
func (n *node) openFiles(ctx context.Context, c *server.Conversations) error {
	f := n.cfg.Files
	dir := cmp.Or(f.Dir, filepath.Join(n.cfg.DataDir, "files"))
	c.Spool = filepath.Join(dir, "spool")
	switch {
	case f.S3 != "":
		return n.openS3(ctx, c)
	case f.Dir == "" && n.cfg.Redis != "":
		n.log.Warn("files cannot be uploaded: several nodes need one place for them, see the settings files-dir and files-s3")
		return nil
	}
	disk, err := files.OpenDisk(dir)
	if err != nil {
		return fmt.Errorf("files-dir: %w", err)
	}
	n.onClose(func() { _ = disk.Close() })
	c.Blobs = disk
	return nil
}

func (n *node) openS3(ctx context.Context, c *server.Conversations) error {
	secret, err := readSecret("files-s3-key-file", n.cfg.Files.KeyFile)
	if err != nil {
		return err
	}
	keys := strings.Fields(secret)
	if len(keys) != 2 {
		return fmt.Errorf("%w: files-s3-key-file: two words are needed, the access key and the secret key", errUsage)
	}
	store, err := s3.New(s3.Config{URL: n.cfg.Files.S3, Region: n.cfg.Files.Region, AccessKey: keys[0], SecretKey: keys[1]})
	if err != nil {
		return fmt.Errorf("%w: files-s3: %w", errUsage, err)
	}
	n.onClose(store.Close)
	c.Blobs = store
	look, cancel := context.WithTimeout(ctx, storageTime)
	defer cancel()
	if err := store.Check(look); err != nil { // calls and texts go on without it
		n.log.Error("the storage for files does not work", "err", err)
	}
	return nil
}

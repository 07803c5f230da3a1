// Package s3 keeps files in S3-compatible storage: Amazon's, MinIO, Ceph, Garage, R2 and others.
//
// It promises what files.Blobs does. An object is one request whose length and MD5 the storage
// checks; the bucket needs no public access and no listing, only s3:PutObject, s3:GetObject,
// s3:DeleteObject, and s3:ListBucket if a missing object is to be known as such.
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/rondo-chat/rondo/chat/files"
)

const (
	dialTime   = 5 * time.Second
	answerTime = 15 * time.Second // until the storage begins to answer
	tries      = 3
)

// Config is how to reach the storage. Fields without a default are required.
type Config struct {
	// URL is https://host[:port]/bucket[/prefix]; http is for a network of its own.
	URL       string
	Region    string // default: us-east-1
	AccessKey string
	SecretKey string

	Transport *http.Transport // default: one with the system's certificates
}

// Store is a files.Blobs in a bucket. It is safe for concurrent use.
type Store struct {
	client    *minio.Client
	transport *http.Transport
	bucket    string
	prefix    string // "" or with a slash at its end
}

var _ files.Blobs = (*Store)(nil)

// New makes a Store. It asks nothing of the storage; see Check.
func New(cfg Config) (*Store, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("s3: the URL must be https://host/bucket or https://host/bucket/prefix")
	}
	bucket, prefix, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if bucket == "" || cfg.AccessKey == "" || cfg.SecretKey == "" {
		return nil, errors.New("s3: a bucket, an access key and a secret key are required")
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if prefix != "" {
		prefix += "/"
	}
	if cfg.Transport == nil {
		cfg.Transport = &http.Transport{
			Proxy: nil, DialContext: (&net.Dialer{Timeout: dialTime}).DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: dialTime,
			ResponseHeaderTimeout: answerTime, ExpectContinueTimeout: time.Second, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, DisableCompression: true,
		}
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(cfg.AccessKey, cfg.SecretKey, ""), Secure: u.Scheme == "https", Region: cfg.Region,
		Transport: cfg.Transport, MaxRetries: tries,
	})
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	return &Store{client: client, transport: cfg.Transport, bucket: bucket, prefix: prefix}, nil
}

// Close closes connections that nobody uses.
func (s *Store) Close() { s.transport.CloseIdleConnections() }

// Check writes, reads and deletes an object, to find at the start what is wrong.
func (s *Store) Check(ctx context.Context) error {
	name := files.NewName()
	if err := s.Put(ctx, name, strings.NewReader("rondo"), 5); err != nil {
		return err
	}
	b, err := s.Open(ctx, name)
	if err == nil {
		err = b.Close()
	}
	return errors.Join(err, s.Delete(ctx, name))
}

// Put implements files.Blobs.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := files.CheckName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	whole, err := measured(r, size)
	if err != nil {
		return fmt.Errorf("s3: put: %w", err)
	}
	_, err = s.client.PutObject(ctx, s.bucket, s.prefix+name, whole, size, minio.PutObjectOptions{
		ContentType: "application/octet-stream", SendContentMd5: true, DisableMultipart: true,
	})
	if err != nil {
		return fmt.Errorf("s3: put: %w", err)
	}
	return nil
}

// measured returns what can be read again if a try fails, and has the size.
func measured(r io.Reader, size int64) (io.ReadSeeker, error) {
	if rs, ok := r.(io.ReadSeeker); ok {
		at, err := rs.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		end, err := rs.Seek(0, io.SeekEnd)
		if err != nil {
			return nil, err
		}
		if end-at != size {
			return nil, files.ErrSize
		}
		_, err = rs.Seek(at, io.SeekStart)
		return rs, err
	}
	data, err := io.ReadAll(io.LimitReader(r, size+1))
	if err == nil && int64(len(data)) != size {
		err = files.ErrSize
	}
	return bytes.NewReader(data), err
}

// Open implements files.Blobs.
func (s *Store) Open(ctx context.Context, name string) (files.Blob, error) {
	if err := files.CheckName(name); err != nil {
		return nil, err
	}
	object, err := s.client.GetObject(ctx, s.bucket, s.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("s3: open: %w", err)
	}
	info, err := object.Stat()
	if err != nil {
		_ = object.Close()
		if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
			return nil, files.ErrNotFound
		}
		return nil, fmt.Errorf("s3: open: %w", err)
	}
	return blob{object, info.Size}, nil
}

// Delete implements files.Blobs.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := files.CheckName(name); err != nil {
		return err
	}
	err := s.client.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{})
	if err != nil && minio.ToErrorResponse(err).Code != minio.NoSuchKey {
		return fmt.Errorf("s3: delete: %w", err)
	}
	return nil
}

type blob struct {
	*minio.Object
	size int64
}

func (b blob) Size() int64 { return b.size }

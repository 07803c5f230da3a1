package s3

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/chat/files"
	"github.com/rondo-chat/rondo/chat/files/filestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, f *storage, change ...func(*Config)) *Store {
	t.Helper()
	cfg := Config{URL: f.URL + "/bucket/some/prefix", Region: "eu-central-1", AccessKey: accessKey, SecretKey: secretKey, Transport: f.Client().Transport.(*http.Transport).Clone()}
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestS3: the promises of files.Blobs, over a server that speaks S3 and checks every signature; by TLS, and
// without, where each piece of the body is signed.
func TestS3(t *testing.T) {
	for name, tls := range map[string]bool{"https": true, "http": false} {
		t.Run(name, func(t *testing.T) {
			f := newStorage(t, tls)
			filestest.Run(t, func(t *testing.T) files.Blobs { return open(t, f) })
			if err := open(t, f).Check(t.Context()); err != nil {
				t.Error(err)
			}
			for _, key := range f.keys() {
				if !strings.HasPrefix(key, "bucket/some/prefix/") || files.CheckName(strings.TrimPrefix(key, "bucket/some/prefix/")) != nil {
					t.Errorf("object %q", key)
				}
			}
		})
	}
}

// TestWrongKeys: nothing works with another secret, and the error does not tell the one that there is.
func TestWrongKeys(t *testing.T) {
	f := newStorage(t, true)
	name := files.NewName()
	if err := open(t, f).Put(t.Context(), name, strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	s := open(t, f, func(c *Config) { c.SecretKey = "another secret key" })
	_, opened := s.Open(t.Context(), name)
	for what, err := range map[string]error{"check": s.Check(t.Context()), "open": opened, "delete": s.Delete(t.Context(), name)} {
		if err == nil || errors.Is(err, files.ErrNotFound) || strings.Contains(err.Error(), "another secret key") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if b, err := open(t, f).Open(t.Context(), name); err != nil {
		t.Error(err)
	} else {
		_ = b.Close()
	}
}

// TestOutage: a storage that fails, or is not there, is an error within the caller's time, and one
// failure is tried again.
func TestOutage(t *testing.T) {
	f := newStorage(t, true)
	s := open(t, f)
	name := files.NewName()
	f.fail(1)
	if err := s.Put(t.Context(), name, bytes.NewReader([]byte("again")), 5); err != nil {
		t.Errorf("after one failure: %v", err)
	}
	f.fail(1 << 30)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if b, err := s.Open(ctx, name); err == nil || errors.Is(err, files.ErrNotFound) {
		t.Errorf("%v, %v", b, err)
	}
	f.fail(0)
	f.Close()
	if err := s.Delete(ctx, name); err == nil {
		t.Error("deleted although nobody is there")
	}
}

func TestConfig(t *testing.T) {
	for _, cfg := range []Config{
		{}, {URL: "https://host/bucket"}, {URL: "https://host", AccessKey: "a", SecretKey: "s"}, {URL: "host/bucket", AccessKey: "a", SecretKey: "s"},
		{URL: "https://a:s@host/bucket", AccessKey: "a", SecretKey: "s"}, {URL: "ftp://host/bucket", AccessKey: "a", SecretKey: "s"}, {URL: "https://host/bucket?x=y", AccessKey: "a", SecretKey: "s"},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

// Cache-Control values.
const (
	immutable  = "public, max-age=31536000, immutable" // the name changes with the content
	revalidate = "no-cache"                            // may be kept, must be asked for again (ETag)
	anHour     = "public, max-age=3600"
	never      = "no-store"
)

// asset is one file, ready to be sent.
type asset struct {
	mime   string
	body   []byte
	packed []byte // gzip of body; nil where it does not pay
	etag   string
}

// mimeType knows every kind of file that may be embedded, and no other; the
// machine's own tables play no part.
func mimeType(name string) (string, bool) {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8", true
	case ".js":
		return "text/javascript; charset=utf-8", true
	case ".css":
		return "text/css; charset=utf-8", true
	case ".svg":
		return "image/svg+xml", true
	case ".png":
		return "image/png", true
	case ".woff2":
		return "font/woff2", true
	case ".txt":
		return "text/plain; charset=utf-8", true
	case ".webmanifest":
		return "application/manifest+json", true
	}
	return "", false
}

func newAsset(name string, body []byte) (*asset, error) {
	mime, ok := mimeType(name)
	if !ok {
		return nil, fmt.Errorf("%s: unknown kind of file", name)
	}
	sum := sha256.Sum256(body)
	a := &asset{mime: mime, body: body, etag: base64.RawURLEncoding.EncodeToString(sum[:12])}
	if mime == "image/png" || mime == "font/woff2" || len(body) < 512 {
		return a, nil // packed already, or not worth it
	}
	var err error
	a.packed, err = pack(body)
	return a, err
}

func pack(body []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(body); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func loadAssets(files fs.FS) (map[string]*asset, error) {
	assets := make(map[string]*asset)
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		assets[name], err = newAsset(name, body)
		return err
	})
	return assets, err
}

// buildHash names the whole set of files: modules import one another by
// relative names, so they must change their address together.
func buildHash(assets map[string]*asset) string {
	names := make([]string, 0, len(assets))
	for name := range assets {
		names = append(names, name)
	}
	slices.Sort(names)
	h := sha256.New()
	for _, name := range names {
		fmt.Fprintf(h, "%s %s\n", name, assets[name].etag)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// document makes an HTML file whose links "/page/…" point into this build.
func (s *site) document(name string) (*asset, error) {
	a := s.assets[name]
	if a == nil {
		return nil, fmt.Errorf("%s is missing", name)
	}
	body := bytes.ReplaceAll(a.body, []byte(`"/page/`), []byte(`"/_/`+s.build+`/page/`))
	body = bytes.ReplaceAll(body, []byte("<!--modules-->\n"), s.preloads())
	return newAsset(name, body)
}

// preloads names every module up front, so that the browser need not find them
// one import after another.
func (s *site) preloads() []byte {
	var names []string
	for name := range s.assets {
		if path.Ext(name) == ".js" && path.Base(name) != "theme.js" && path.Base(name) != "sw.js" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b bytes.Buffer
	for _, name := range names {
		fmt.Fprintf(&b, "<link rel=\"modulepreload\" href=\"/_/%s/%s\">\n", s.build, name)
	}
	return b.Bytes()
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request, status int, cache string) {
	h := w.Header()
	h.Set("Content-Type", a.mime)
	h.Set("Cache-Control", cache)
	body, etag := a.body, a.etag
	if a.packed != nil {
		h.Add("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			h.Set("Content-Encoding", "gzip")
			body, etag = a.packed, etag+"-gz"
		}
	}
	if status != http.StatusOK {
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = w.Write(body) // the reader is gone; there is nobody to tell
		}
		return
	}
	h.Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// acceptsGzip reports whether an Accept-Encoding header allows gzip
// (RFC 9110, section 12.5.3; a weight of zero forbids).
func acceptsGzip(header string) bool {
	for _, part := range strings.Split(header, ",") {
		coding, weight, _ := strings.Cut(part, ";")
		if strings.TrimSpace(coding) != "gzip" {
			continue
		}
		q := strings.ReplaceAll(weight, " ", "")
		return q != "q=0" && q != "q=0.0" && q != "q=0.00" && q != "q=0.000"
	}
	return false
}

package s3

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const accessKey, secretKey = "AKIAEXAMPLE", "a secret key of the test"

// storage is a server that speaks as much of S3 as is used, and refuses what is not signed as AWS Signature
// Version 4 says (docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html).
type storage struct {
	*httptest.Server
	mu      sync.Mutex
	objects map[string][]byte
	broken  int // how many more requests fail
}

func newStorage(t *testing.T, tls bool) *storage {
	s := &storage{objects: map[string][]byte{}}
	if tls {
		s.Server = httptest.NewTLSServer(s)
	} else {
		s.Server = httptest.NewServer(s)
	}
	t.Cleanup(s.Close)
	return s
}

func (s *storage) fail(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = n
}

func (s *storage) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for k := range s.objects {
		all = append(all, k)
	}
	return all
}

func (s *storage) get(key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.objects[key]
	return b, ok
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>no</Message></Error>`, code)
}

// fails reports whether this request is one that fails.
func (s *storage) fails() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == 0 {
		return false
	}
	s.broken--
	return true
}

func (s *storage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if s.fails() {
		refuse(w, http.StatusServiceUnavailable, "SlowDown")
		return
	}
	body, ok := signed(r, body)
	if !ok {
		refuse(w, http.StatusForbidden, "SignatureDoesNotMatch")
		return
	}
	key := strings.TrimPrefix(r.URL.Path, "/")
	if key == "" || r.URL.RawQuery != "" {
		refuse(w, http.StatusNotImplemented, "NotImplemented")
		return
	}
	switch r.Method {
	case http.MethodPut:
		s.put(w, r, key, body)
	case http.MethodDelete:
		s.mu.Lock()
		delete(s.objects, key)
		s.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	default:
		b, ok := s.get(key)
		if !ok {
			refuse(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", etag(b))
		http.ServeContent(w, r, "", time.Unix(1_700_000_000, 0), bytes.NewReader(b))
	}
}

func etag(b []byte) string {
	sum := md5.Sum(b)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func (s *storage) put(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	sum := md5.Sum(body)
	if got := r.Header.Get("Content-Md5"); got != base64.StdEncoding.EncodeToString(sum[:]) {
		refuse(w, http.StatusBadRequest, "BadDigest")
		return
	}
	s.mu.Lock()
	s.objects[key] = body
	s.mu.Unlock()
	w.Header().Set("ETag", etag(body))
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// signed checks the request's signature and returns its body, without the signatures of its pieces.
func signed(r *http.Request, body []byte) ([]byte, bool) {
	fields := map[string]string{}
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	date := r.Header.Get("X-Amz-Date")
	at, err := time.Parse("20060102T150405Z", date)
	if scheme != "AWS4-HMAC-SHA256" || len(scope) != 5 || scope[0] != accessKey || scope[1] != date[:8] || scope[2] != "eu-central-1" || scope[3] != "s3" || scope[4] != "aws4_request" ||
		err != nil || time.Since(at).Abs() > 15*time.Minute {
		return nil, false
	}
	names := strings.Split(fields["SignedHeaders"], ";")
	if !slices.Contains(names, "host") || !slices.Contains(names, "x-amz-date") || !slices.Contains(names, "x-amz-content-sha256") {
		return nil, false
	}
	payload := r.Header.Get("X-Amz-Content-Sha256")
	canonical := r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.Query().Encode() + "\n"
	for _, name := range names {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		canonical += name + ":" + strings.TrimSpace(value) + "\n"
	}
	canonical += "\n" + fields["SignedHeaders"] + "\n" + payload
	key := []byte("AWS4" + secretKey)
	for _, part := range scope[1:] {
		key = mac(key, part)
	}
	where := strings.Join(scope[1:], "/")
	want := hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+date+"\n"+where+"\n"+hash([]byte(canonical))))
	if want != fields["Signature"] {
		return nil, false
	}
	switch payload {
	case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
		return pieces(body, r.Header.Get("X-Amz-Decoded-Content-Length"), key, "AWS4-HMAC-SHA256-PAYLOAD\n"+date+"\n"+where+"\n", want)
	case "UNSIGNED-PAYLOAD":
		return body, r.TLS != nil
	}
	return body, payload == hash(body)
}

// pieces reads a body of signed chunks: each signature is of the one before and of the chunk.
func pieces(body []byte, length string, key []byte, head, previous string) ([]byte, bool) {
	r := bufio.NewReader(bytes.NewReader(body))
	var out []byte
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, false
		}
		size, signature, ok := strings.Cut(strings.TrimSuffix(line, "\r\n"), ";chunk-signature=")
		n, err := strconv.ParseInt(size, 16, 32)
		if !ok || err != nil || n > int64(len(body)) {
			return nil, false
		}
		chunk := make([]byte, n+2)
		if _, err := io.ReadFull(r, chunk); err != nil || string(chunk[n:]) != "\r\n" {
			return nil, false
		}
		chunk = chunk[:n]
		if want := hex.EncodeToString(mac(key, head+previous+"\n"+hash(nil)+"\n"+hash(chunk))); signature != want {
			return nil, false
		}
		previous, out = signature, append(out, chunk...)
		if n == 0 {
			return append([]byte{}, out...), length == strconv.Itoa(len(out))
		}
	}
}

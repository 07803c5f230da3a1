package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// get asks the handler once.
func get(t *testing.T, h http.Handler, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRoutes(t *testing.T) {
	h := Handler(Config{})
	for _, c := range []struct {
		method, path string
		status       int
		mime, cache  string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", revalidate},
		{"HEAD", "/", 200, "text/html; charset=utf-8", revalidate},
		{"GET", "/r/k3abcdefghij2345wxyz", 200, "text/html; charset=utf-8", revalidate},
		{"GET", "/c", 200, "text/html; charset=utf-8", revalidate},
		{"GET", "/c/c_k3abcdefghij2345wxyz", 200, "text/html; charset=utf-8", revalidate},
		{"GET", "/c/", 404, "text/html; charset=utf-8", never},
		{"GET", "/r/", 404, "text/html; charset=utf-8", never},
		{"GET", "/r/a/b", 404, "text/html; charset=utf-8", never},
		{"GET", "/r/<script>", 404, "text/html; charset=utf-8", never},
		{"GET", "/nothing", 404, "text/html; charset=utf-8", never},
		{"GET", "/page/app.js", 404, "text/html; charset=utf-8", never},
		{"GET", "/_/0123456789abcdef/page/app.js", 200, "text/javascript; charset=utf-8", revalidate},
		{"GET", "/_/0123456789abcdef/page/nothing.js", 404, "text/html; charset=utf-8", never},
		{"GET", "/_/x/../web.go", 404, "text/html; charset=utf-8", never},
		{"GET", "/sdk/rondo.js", 200, "text/javascript; charset=utf-8", revalidate},
		{"GET", "/sdk/", 404, "text/html; charset=utf-8", never},
		{"GET", "/sdk/../page/app.js", 404, "text/html; charset=utf-8", never},
		{"GET", "/robots.txt", 200, "text/plain; charset=utf-8", anHour},
		{"GET", "/favicon.ico", 200, "image/png", anHour},
		{"GET", "/apple-touch-icon.png", 200, "image/png", anHour},
		{"GET", "/manifest.webmanifest", 200, "application/manifest+json", anHour},
		{"GET", "/sw.js", 200, "text/javascript; charset=utf-8", revalidate},
		{"OPTIONS", "/sdk/rondo.js", 204, "", ""},
		{"POST", "/", 405, "text/plain; charset=utf-8", ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			r := get(t, h, c.method, c.path)
			if r.StatusCode != c.status || r.Header.Get("Content-Type") != c.mime || r.Header.Get("Cache-Control") != c.cache {
				t.Errorf("got %d %q %q, want %d %q %q", r.StatusCode, r.Header.Get("Content-Type"), r.Header.Get("Cache-Control"), c.status, c.mime, c.cache)
			}
			if c.method == "HEAD" && body(t, r) != "" {
				t.Error("HEAD has a body")
			}
		})
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	h := Handler(Config{})
	for _, p := range []string{"/", "/r/abc", "/nothing", "/sdk/rondo.js", "/robots.txt", "/sw.js", "/_/x/page/app.js"} {
		r := get(t, h, "GET", p)
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", p, name, got, want)
			}
		}
		csp := r.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", p, csp)
		}
	}
}

func TestDocumentPolicy(t *testing.T) {
	r := get(t, Handler(Config{}), "GET", "https://rondo.example:8443/")
	csp := r.Header.Get("Content-Security-Policy")
	for _, want := range []string{
		"script-src 'self';", "style-src 'self';", "connect-src 'self' ws://rondo.example:8443 wss://rondo.example:8443;",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "media-src 'self' blob:", "worker-src 'self';",
	} {
		if !strings.Contains(csp, want) {
			t.Errorf("policy lacks %q: %s", want, csp)
		}
	}
	for name, want := range map[string]string{"Cross-Origin-Opener-Policy": "same-origin", "X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin"} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	permissions := r.Header.Get("Permissions-Policy")
	for _, want := range []string{"camera=(self)", "microphone=(self)", "display-capture=(self)", "geolocation=()"} {
		if !strings.Contains(permissions, want) {
			t.Errorf("permissions lack %q: %s", want, permissions)
		}
	}
}

// TestWorker: the service worker is no module that pages load, and handles no requests.
func TestWorker(t *testing.T) {
	s, err := newSite(Config{}, files)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(s.index.body), "sw.js") {
		t.Error("the page loads it")
	}
	r := get(t, s, "GET", "/sw.js")
	if text := body(t, r); strings.Contains(text, "'fetch'") || strings.Contains(text, "importScripts") || !strings.Contains(text, "'push'") {
		t.Errorf("the worker does other things: %s", text)
	}
	if csp := r.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; img-src 'self';") || strings.Contains(csp, "script-src") {
		t.Errorf("policy %q", csp)
	}
}

func TestHostCannotWidenThePolicy(t *testing.T) {
	h := Handler(Config{})
	for _, host := range []string{"a; script-src *", "a b", "*", "x'y", "[::1", "a\r\nb", ""} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "connect-src 'self';") || strings.Count(csp, "script-src") != 1 {
			t.Errorf("host %q: %s", host, csp)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "[2001:db8::1]:8080"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "wss://[2001:db8::1]:8080") {
		t.Errorf("IPv6 host: %s", csp)
	}
}

func TestFramesByConfiguration(t *testing.T) {
	r := get(t, Handler(Config{FrameAncestors: []string{"https://a.example", "https://b.example"}}), "GET", "/")
	if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors https://a.example https://b.example") {
		t.Errorf("policy %s", csp)
	}
	if r.Header.Get("X-Frame-Options") != "" {
		t.Error("X-Frame-Options forbids what was allowed")
	}
}

func TestSDKIsForEverybody(t *testing.T) {
	r := get(t, Handler(Config{}), "GET", "/sdk/rondo.js", "Origin", "https://elsewhere.example")
	if r.Header.Get("Access-Control-Allow-Origin") != "*" || r.Header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
		t.Errorf("headers %v", r.Header)
	}
	r = get(t, Handler(Config{SDKOrigin: "https://a.example"}), "GET", "/sdk/rondo.js")
	if r.Header.Get("Access-Control-Allow-Origin") != "https://a.example" {
		t.Errorf("headers %v", r.Header)
	}
	if r := get(t, Handler(Config{}), "GET", "/"); r.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("the page itself is shared")
	}
}

func TestCaching(t *testing.T) {
	h := Handler(Config{})
	page := body(t, get(t, h, "GET", "/"))
	m := regexp.MustCompile(`src="(/_/[0-9a-f]{16}/page/app\.js)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal("the page does not load app.js by its build")
	}
	r := get(t, h, "GET", m[1])
	if r.StatusCode != 200 || r.Header.Get("Cache-Control") != immutable {
		t.Errorf("app.js: %d %q", r.StatusCode, r.Header.Get("Cache-Control"))
	}
	tag := get(t, h, "GET", "/").Header.Get("ETag")
	if r := get(t, h, "GET", "/", "If-None-Match", tag); r.StatusCode != 304 {
		t.Errorf("revalidation: %d", r.StatusCode)
	}
	if r := get(t, h, "GET", "/", "If-None-Match", tag, "Accept-Encoding", "gzip"); r.StatusCode != 200 {
		t.Errorf("the packed form has the tag of the plain one: %d", r.StatusCode)
	}
}

func TestGzip(t *testing.T) {
	h := Handler(Config{})
	plain := body(t, get(t, h, "GET", "/"))
	for _, c := range []struct {
		accept string
		packed bool
	}{{"gzip, br", true}, {"br;q=1, gzip;q=0.5", true}, {"gzip;q=0", false}, {"", false}, {"xgzip", false}} {
		r := get(t, h, "GET", "/", "Accept-Encoding", c.accept)
		if (r.Header.Get("Content-Encoding") == "gzip") != c.packed || r.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: encoding %q, vary %q", c.accept, r.Header.Get("Content-Encoding"), r.Header.Get("Vary"))
		}
		if !c.packed {
			continue
		}
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(z); err != nil || string(b) != plain {
			t.Errorf("%q: unpacks to something else (%v)", c.accept, err)
		}
	}
}

// TestPageKeepsItsOwnPolicy looks for what the policy would refuse, and for
// links that lead nowhere.
func TestPageKeepsItsOwnPolicy(t *testing.T) {
	s, err := newSite(Config{}, files)
	if err != nil {
		t.Fatal(err)
	}
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|javascript:|<script>`)
	link := regexp.MustCompile(`(?:src|href)="(/[^"]*)"`)
	for name, a := range s.assets {
		if path.Ext(name) == ".js" {
			if m := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function`).Find(a.body); m != nil {
				t.Errorf("%s uses %s", name, m)
			}
		}
		if path.Ext(name) != ".html" {
			continue
		}
		if m := inline.Find(a.body); m != nil {
			t.Errorf("%s: %q", name, m)
		}
		doc, err := s.document(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(doc.body), -1) {
			if r := get(t, s, "GET", m[1]); r.StatusCode != 200 {
				t.Errorf("%s links to %s: %d", name, m[1], r.StatusCode)
			}
		}
	}
}

// TestImportsAreThere follows every module's imports.
func TestImportsAreThere(t *testing.T) {
	assets, err := loadAssets(files)
	if err != nil {
		t.Fatal(err)
	}
	imports := regexp.MustCompile(`(?m)^(?:import|export)[^'"]*from '([^']+)'`)
	for name, a := range assets {
		if path.Ext(name) != ".js" {
			continue
		}
		for _, m := range imports.FindAllStringSubmatch(string(a.body), -1) {
			target := path.Join(path.Dir(name), m[1])
			if assets[target] == nil {
				t.Errorf("%s imports %s", name, target)
			}
			if strings.HasPrefix(name, "sdk/") && !strings.HasPrefix(target, "sdk/") {
				t.Errorf("the SDK knows a page: %s imports %s", name, target)
			}
			if strings.HasPrefix(name, "page/") && strings.HasPrefix(target, "sdk/") && target != "sdk/rondo.js" {
				t.Errorf("%s imports %s, not the public entry", name, target)
			}
		}
	}
}

func TestBrokenFiles(t *testing.T) {
	for name, files := range map[string]fstest.MapFS{
		"no page":      {"page/404.html": {}},
		"no 404":       {"page/index.html": {}},
		"unknown kind": {"page/index.html": {}, "page/404.html": {}, "page/x.exe": {}},
	} {
		if _, err := newSite(Config{}, files); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestBuildChangesWithContent(t *testing.T) {
	site := func(js string) string {
		s, err := newSite(Config{}, fstest.MapFS{"page/index.html": {}, "page/404.html": {}, "page/a.js": {Data: []byte(js)}})
		if err != nil {
			t.Fatal(err)
		}
		return s.build
	}
	if one, again := site("1"), site("1"); one != again || one == site("2") {
		t.Error("the build's name does not follow its content")
	}
}

// Package web holds Rondo's page and browser SDK and serves them. It promises
// that every answer carries the security headers the page is written for (no
// inline script or style, nothing from other hosts), that files of one build
// are cached for ever under a name that changes with their content, and that
// the SDK can be imported by pages of other sites.
package web

import (
	"embed"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
)

//go:embed page sdk
var files embed.FS

// Config says how the page is served. The zero value is ready for use.
type Config struct {
	// FrameAncestors are the origins that may show the page in a frame, as
	// CSP source expressions such as "https://example.org". Default: none.
	FrameAncestors []string
	// SDKOrigin is the Access-Control-Allow-Origin of /sdk/. Default: "*".
	SDKOrigin string
}

// Handler serves the page at /, /r/<room id>, /c and /c/<conversation id>, the SDK at /sdk/, and answers
// everything else with a 404 page. It panics only if the files embedded at
// build time cannot be read, which a test rules out.
func Handler(cfg Config) http.Handler {
	s, err := newSite(cfg, files)
	if err != nil {
		panic("web: embedded files: " + err.Error())
	}
	return s
}

// site serves one build's files. It is static after construction.
type site struct {
	policy policy
	assets map[string]*asset // by path in the file system: "page/app.js"
	build  string            // hash over all assets
	index  *asset            // the page, with its links pointing into /_/<build>/
	lost   *asset            // the 404 page, likewise
}

// workerPath is where the service worker must be so that all of the site is its scope.
const workerPath = "/sw.js"

// rootFile names the file that browsers and crawlers ask for at the top.
func rootFile(path string) string {
	switch path {
	case "/favicon.ico":
		return "page/icon-32.png"
	case "/robots.txt":
		return "page/robots.txt"
	case "/manifest.webmanifest":
		return "page/manifest.webmanifest"
	case workerPath:
		return "page/sw.js"
	case "/apple-touch-icon.png":
		return "page/icon-180.png"
	}
	return ""
}

// roomPath is the page's address of a room, of the chats, or of one of them. The page
// says whether it exists.
var roomPath = regexp.MustCompile(`^/r/[A-Za-z0-9_-]{1,64}$|^/c(/[A-Za-z0-9_-]{1,64})?$`)

func newSite(cfg Config, files fs.FS) (*site, error) {
	assets, err := loadAssets(files)
	if err != nil {
		return nil, err
	}
	s := &site{policy: newPolicy(cfg), assets: assets, build: buildHash(assets)}
	if s.index, err = s.document("page/index.html"); err != nil {
		return nil, err
	}
	if s.lost, err = s.document("page/404.html"); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	s.policy.common(w.Header())
	if strings.HasPrefix(path, "/sdk/") {
		s.policy.shared(w.Header()) // also on errors, so that importers can read them
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	s.serve(w, r, path)
}

func (s *site) serve(w http.ResponseWriter, r *http.Request, path string) {
	if path == "/" || roomPath.MatchString(path) {
		s.policy.document(w.Header(), r.Host)
		s.index.serve(w, r, http.StatusOK, revalidate)
		return
	}
	if a := s.assets[rootFile(path)]; a != nil {
		cache := anHour
		if path == workerPath {
			cache = revalidate // it must not be older than the page
			s.policy.worker(w.Header())
		}
		a.serve(w, r, http.StatusOK, cache)
		return
	}
	if rest, ok := strings.CutPrefix(path, "/_/"); ok {
		build, name, _ := strings.Cut(rest, "/")
		if a := s.assets[name]; a != nil {
			cache := revalidate // a page of another build, in the middle of a rollout
			if build == s.build {
				cache = immutable
			}
			a.serve(w, r, http.StatusOK, cache)
			return
		}
	}
	if a := s.assets[strings.TrimPrefix(path, "/")]; a != nil && strings.HasPrefix(path, "/sdk/") {
		a.serve(w, r, http.StatusOK, revalidate)
		return
	}
	s.policy.document(w.Header(), r.Host)
	s.lost.serve(w, r, http.StatusNotFound, never)
}

package firebase_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// database is a Realtime Database as its REST reference describes it, as far as the sink goes, with
// the token endpoint of its service account.
type database struct {
	*httptest.Server
	key *rsa.PrivateKey

	mu       sync.Mutex
	places   map[string]any // leaves by their paths: strings, numbers, booleans
	token    string
	issued   int
	fail     func(r *http.Request) bool // answers 503, or cuts
	problems []string
}

func newDatabase(t *testing.T) *database {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	d := &database{key: key, places: map[string]any{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", d.issue)
	mux.HandleFunc("/", d.serve)
	d.Server = httptest.NewServer(mux)
	t.Cleanup(d.Close)
	return d
}

// account is the key file.
func (d *database) account(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(d.key)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "rondo@p.iam.gserviceaccount.com", "private_key_id": "k1", "token_uri": d.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// issue gives a token for an assertion that the account's key signed.
func (d *database) issue(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	parts := strings.Split(r.FormValue("assertion"), ".")
	if r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || len(parts) != 3 {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct{ Iss, Aud, Scope string }
	_ = json.Unmarshal(payload, &claims)
	if rsa.VerifyPKCS1v15(&d.key.PublicKey, crypto.SHA256, sum[:], signature) != nil || claims.Iss != "rondo@p.iam.gserviceaccount.com" ||
		claims.Aud != d.URL+"/token" || !strings.Contains(claims.Scope, "/auth/firebase.database") {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	d.issued++
	d.token = rand.Text()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": d.token, "expires_in": 3600, "token_type": "Bearer"})
}

// revoke makes the token worthless before its time.
func (d *database) revoke() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.token = "none"
}

func (d *database) failing(f func(*http.Request) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = f
}

func (d *database) serve(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil && d.fail(r) {
		return
	}
	path, isJSON := strings.CutSuffix(r.URL.Path, ".json")
	path = strings.Trim(path, "/")
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		return
	case r.Header.Get("Authorization") != "Bearer "+d.token:
		refuse(w, http.StatusUnauthorized, "Unauthorized request.")
		return
	case !isJSON || !goodPath(path):
		refuse(w, http.StatusBadRequest, "Invalid path")
		return
	}
	switch r.Method {
	case http.MethodGet:
		d.getLocked(w, r, path)
		return
	case http.MethodPut:
		err = d.putLocked(map[string]json.RawMessage{path: body})
	case http.MethodPatch:
		var update map[string]json.RawMessage
		if err = json.Unmarshal(body, &update); err == nil {
			under := map[string]json.RawMessage{}
			for at, value := range update {
				under[strings.Trim(path+"/"+at, "/")] = value
			}
			err = d.putLocked(under)
		}
	}
	if err != nil {
		d.problems = append(d.problems, err.Error())
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if r.URL.Query().Get("print") == "silent" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	_, _ = w.Write(body)
}

func refuse(w http.ResponseWriter, code int, why string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": why})
}

type invalid string

func (e invalid) Error() string { return string(e) }

// goodPath: keys hold no . $ # [ ], a path has at most 32 of them.
func goodPath(path string) bool {
	return !strings.ContainsAny(path, ".$#[]") && strings.Count(path, "/") < 32
}

// putLocked sets places, all or none; null takes away.
func (d *database) putLocked(update map[string]json.RawMessage) error {
	flat := map[string]any{}
	for at, raw := range update {
		if !goodPath(at) || strings.Contains(at, "//") {
			return invalid("Invalid path: " + at)
		}
		for other := range update {
			if strings.HasPrefix(other, at+"/") {
				return invalid("Path " + other + " lies in another one that is updated")
			}
		}
		var value any
		if err := json.Unmarshal(raw, &value); err != nil {
			return invalid("Invalid data; couldn't parse JSON object.")
		}
		if err := flatten(flat, at, value); err != nil {
			return err
		}
	}
	for at := range update {
		maps.DeleteFunc(d.places, func(leaf string, _ any) bool { return leaf == at || strings.HasPrefix(leaf, at+"/") })
	}
	maps.Copy(d.places, flat)
	return nil
}

// flatten takes a value apart. What is empty is not there.
func flatten(into map[string]any, at string, value any) error {
	switch v := value.(type) {
	case nil:
	case map[string]any:
		for key, inner := range v {
			if key == "" || strings.ContainsAny(key, ".$#[]/") {
				return invalid("Invalid data; couldn't parse key: " + key)
			}
			if err := flatten(into, at+"/"+key, inner); err != nil {
				return err
			}
		}
	case []any:
		for i, inner := range v {
			if err := flatten(into, at+"/"+string(rune('0'+i%10)), inner); err != nil {
				return err
			}
		}
	default:
		into[at] = v
	}
	return nil
}

// getLocked answers with a leaf, or with the children of a place, in a range of keys.
func (d *database) getLocked(w http.ResponseWriter, r *http.Request, path string) {
	if leaf, ok := d.places[path]; ok {
		_ = json.NewEncoder(w).Encode(leaf)
		return
	}
	q := r.URL.Query()
	var keys []string
	for leaf := range d.places {
		if rest, ok := strings.CutPrefix(leaf, path+"/"); ok {
			key, _, _ := strings.Cut(rest, "/")
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if q.Get("orderBy") == `"$key"` {
		end := strings.Trim(q.Get("endAt"), `"`)
		keys = slices.DeleteFunc(keys, func(k string) bool { return k > end })
		limit, _ := strconv.Atoi(q.Get("limitToFirst"))
		keys = keys[:min(len(keys), limit)]
	}
	if len(keys) == 0 {
		_, _ = io.WriteString(w, "null")
		return
	}
	children := map[string]bool{}
	for _, k := range keys {
		children[k] = true
	}
	_ = json.NewEncoder(w).Encode(children)
}

// at returns a leaf.
func (d *database) at(path string) any {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.places[path]
}

// under counts the children of a place.
func (d *database) under(path string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	children := map[string]bool{}
	for leaf := range d.places {
		if rest, ok := strings.CutPrefix(leaf, path+"/"); ok {
			key, _, _ := strings.Cut(rest, "/")
			children[key] = true
		}
	}
	return len(children)
}

func (d *database) complaints() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.problems)
}

func (d *database) tokens() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.issued
}

// soon is how long a test waits for what comes at once.
const soon = 20 * time.Second

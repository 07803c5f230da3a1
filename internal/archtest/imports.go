package archtest

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// siblings are the features: none knows another.
func siblings() []string {
	return []string{"signaling", "matchmaking", "rooms", "chat", "accounts", "events", "safety", "sfu"}
}

// below says which top folders of this module a top folder may import (its own
// always). A folder that is not listed has no floor yet.
func below() map[string][]string {
	feature := []string{"protocol", "bus", "auth", "internal"}
	floors := map[string][]string{
		"protocol":   {},
		"internal":   {"protocol", "auth"},
		"auth":       {"protocol", "internal"},
		"bus":        {"protocol", "internal"},
		"metrics":    {"protocol", "internal"},
		"turnserver": {"protocol", "auth", "internal"},
		"web":        {"protocol", "internal"},
		"client":     {"protocol", "internal"},
		"docs":       {},
		"server":     append(slices.Clone(siblings()), "protocol", "bus", "auth", "metrics", "turnserver", "web", "docs", "internal"),
	}
	floors["cmd"] = append(slices.Clone(floors["server"]), "server", "client")
	floors["e2e"] = append(slices.Clone(floors["cmd"]), "cmd")
	for _, s := range siblings() {
		floors[s] = feature
	}
	return floors
}

// vendor is a foreign module (or a part of the standard library) and its rooms.
type vendor struct {
	prefix string
	rooms  []string // folders, with all below; "*/redis*" is a folder with that name at any depth; nil: everywhere
}

func vendors() []vendor {
	const redis = "*/redis*"
	calls := []string{"sfu", "client", "e2e"}
	udp := []string{"turnserver", "sfu", "client", "e2e"}
	sql := []string{"*/sqlstore", "internal/database"}
	return []vendor{
		{"github.com/redis/go-redis", []string{redis, "cmd", "e2e", "internal/testenv"}},
		{"github.com/pion/turn", []string{"turnserver", "e2e", "internal/testenv"}},
		{"github.com/pion/webrtc", calls},
		{"github.com/pion/stun", udp},
		{"github.com/pion/logging", udp},
		{"github.com/pion/transport", udp},
		{"github.com/pion", calls},
		{"github.com/gorilla/websocket", []string{"signaling", "client", "e2e", "internal/testenv"}},
		{"github.com/chromedp", []string{"e2e", "internal/testenv"}},
		{"github.com/goccy/go-yaml", []string{"cmd", "internal/spectest", "internal/deploytest", "server/api"}},
		{"github.com/santhosh-tekuri/jsonschema", []string{"internal/spectest", "server/api"}},
		{"github.com/golang-jwt/jwt", []string{"auth"}},
		{"github.com/rivo/uniseg", []string{"internal/text"}},
		{"github.com/prometheus/client_golang", nil},
		{"github.com/prometheus/client_model", nil},
		{"go.uber.org/goleak", nil},
		{"github.com/wneessen/go-mail", []string{"internal/mail"}},
		{"github.com/go-webauthn/webauthn", []string{"internal/passkey"}},
		{"github.com/minio/minio-go", []string{"*/s3"}},
		{"golang.org/x/image", []string{"internal/picture"}},
		{"golang.org/x/text", nil},
		{"golang.org/x/crypto", nil},
		{"golang.org/x/time", nil},
		{"golang.org/x/term", []string{"cmd"}},
		{"golang.org/x/sys", nil},
		{"golang.org/x/net", nil},
		{"golang.org/x/sync", nil},
		{"database/sql", sql},
		{"modernc.org/sqlite", sql},
		{"github.com/jackc/pgx", sql},
		{"github.com/go-sql-driver/mysql", sql},
		{"github.com/pressly/goose", sql},
		{"github.com/eclipse/paho.golang", []string{"events/mqtt"}},
		{"github.com/rabbitmq/amqp091-go", []string{"events/amqp"}},
		{"golang.org/x/oauth2", []string{"internal/googleauth"}},
	}
}

// imports checks every import of every file.
func (t *Tree) imports() []Finding {
	var found []Finding
	for _, f := range t.files() {
		for _, spec := range f.syntax.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue
			}
			rule, text := t.importRule(f, target)
			if text != "" {
				found = append(found, t.find(rule, f, spec, "%s", text))
			}
			if spec.Name != nil && spec.Name.Name == "." {
				found = append(found, t.find(RuleVendors, f, spec, "dot import of %s: import it by name, so that the rules can see its use", target))
			}
		}
	}
	return found
}

func (t *Tree) importRule(f *file, target string) (Rule, string) {
	if own, ok := t.own(target); ok {
		return t.ownImport(f, own)
	}
	return vendorImport(f, target)
}

// ownImport checks an import within the module: siblings for all files, floors
// for all but tests.
func (t *Tree) ownImport(f *file, target string) (Rule, string) {
	from, to := top(f.folder.path), top(target)
	if from == to {
		return "", ""
	}
	if slices.Contains(siblings(), from) && slices.Contains(siblings(), to) {
		return RuleSiblings, from + " imports its sibling " + to + ": declare the one or two methods that " + from +
			" needs as an interface of its own; server satisfies it"
	}
	if f.test {
		return "", ""
	}
	if target == "internal/testenv" && !isTestHelper(f.folder.path) {
		return RuleFloors, "internal/testenv is for tests: move this code to a _test.go file or to a folder named …test"
	}
	if isTestHelper(f.folder.path) {
		return "", ""
	}
	floors := below()
	allowed, known := floors[from]
	if !known {
		return RuleFloors, "folder " + strconv.Quote(from) + " has no floor: say in internal/archtest (below) what it may import"
	}
	if !slices.Contains(allowed, to) {
		return RuleFloors, from + " may not import " + to + " (arrows point down): let " + from +
			" declare an interface, or move the shared part to protocol or internal"
	}
	return "", ""
}

func vendorImport(f *file, target string) (Rule, string) {
	if top(f.folder.path) == "protocol" && !f.test && strings.Contains(top(target), ".") {
		return RuleFloors, "protocol imports the standard library only: move what needs " + target + " to internal"
	}
	for _, v := range vendors() {
		if target != v.prefix && !strings.HasPrefix(target, v.prefix+"/") {
			continue
		}
		if v.rooms == nil || inRoom(f.folder.path, v.rooms) {
			return "", ""
		}
		return RuleVendors, v.prefix + " stays in " + strings.Join(v.rooms, ", ") +
			": put the code that needs it there, behind a driver interface whose signatures name our own types"
	}
	if strings.Contains(top(target), ".") {
		return RuleVendors, "dependency " + target + " is new: write its reason to docs/decisions and its room to internal/archtest (vendors)"
	}
	return "", ""
}

// inRoom reports whether folder lies in one of rooms.
func inRoom(folder string, rooms []string) bool {
	for _, room := range rooms {
		name, anywhere := strings.CutPrefix(room, "*/")
		if !anywhere {
			if folder == room || strings.HasPrefix(folder, room+"/") {
				return true
			}
			continue
		}
		for element := range strings.SplitSeq(folder, "/") {
			if ok, _ := path.Match(name, element); ok {
				return true
			}
		}
	}
	return false
}

// isTestHelper reports whether the folder holds only what tests use:
// conformance suites (queuetest), environments (testenv) and the end-to-end tests.
func isTestHelper(folder string) bool {
	return strings.HasSuffix(folder, "test") || strings.HasSuffix(folder, "/testenv") || top(folder) == "e2e"
}

// top is the first element of a path.
func top(p string) string {
	first, _, _ := strings.Cut(p, "/")
	return first
}

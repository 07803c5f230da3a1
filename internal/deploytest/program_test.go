package deploytest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestProgram builds the program and asks it about what is written of it.
func TestProgram(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "rondo")
	if out, err := exec.Command("go", "build", "-o", bin, root+"/cmd/rondo").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Run("settings are documented", func(t *testing.T) { testSettings(t, bin) })
	t.Run("compose sets what exists", func(t *testing.T) { testComposeSettings(t, bin) })
	t.Run("roles set what exists", func(t *testing.T) { testRoleSettings(t, bin) })
	t.Run("people meet through nginx", func(t *testing.T) { testThroughNginx(t, bin) })
}

func typeName(v any) string { return fmt.Sprintf("%T", v) }

// settings returns all flags of the program with what --help says about each.
func settings(t *testing.T, bin string) map[string]string {
	t.Helper()
	out, err := exec.Command(bin, "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("rondo --help: %v\n%s", err, out)
	}
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^  -([a-z-]+)(?: \S+)?\n\s+(.*)$`).FindAllStringSubmatch(string(out), -1) {
		all[m[1]] = m[2]
	}
	if len(all) < 30 {
		t.Fatalf("rondo --help names only %d settings:\n%s", len(all), out)
	}
	return all
}

// testSettings: the tables of docs/operations.md have a row for each
// setting and none for others.
func testSettings(t *testing.T, bin string) {
	manual := string(read(t, "docs/operations.md"))
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| ((?:`[a-z-]+`,? ?)+)\\|").FindAllStringSubmatch(manual, -1) {
		for _, name := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(m[1], -1) {
			rows[name[1]] = true
		}
	}
	all := settings(t, bin)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !rows[name] {
			t.Errorf("docs/operations.md has no row for `%s`", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		if _, ok := all[name]; !ok {
			t.Errorf("docs/operations.md has a row for `%s`, which is no setting", name)
		}
	}
}

// composeFile is what is checked of docker-compose.yml.
type composeFile struct {
	Services map[string]struct {
		Image       string
		Environment map[string]string
		Volumes     []string
		DependsOn   any `yaml:"depends_on"` // names, or names with conditions
		Healthcheck any
	}
	Volumes map[string]any
}

func compose(t *testing.T) composeFile {
	t.Helper()
	var f composeFile
	if err := yaml.Unmarshal(read(t, "docker-compose.yml"), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// placeholder is ${NAME:-default}.
var placeholder = regexp.MustCompile(`\$\{[A-Z_]+:-([^}]*)\}`)

// testComposeSettings gives the nodes' environment to the program. "rondo health"
// reads all of it and then finds no server: status 1. Status 2 is a setting that
// does not exist or cannot be.
func testComposeSettings(t *testing.T, bin string) {
	nodes := 0
	for name, s := range compose(t).Services {
		if !strings.HasPrefix(name, "node") {
			continue
		}
		nodes++
		cmd := exec.Command(bin, "health")
		for k, v := range s.Environment {
			v = placeholder.ReplaceAllString(v, "$1")
			if k == "RONDO_METRICS_LISTEN" {
				v = "127.0.0.1:1" // nobody is there
			}
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		out, err := cmd.CombinedOutput()
		exit := new(exec.ExitError)
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !bytes.Contains(out, []byte("health")) {
			t.Errorf("service %s: rondo health with its environment: %v\n%s", name, err, out)
		}
	}
	if nodes != 2 {
		t.Errorf("%d nodes, want 2", nodes)
	}
}

// testRoleSettings gives the examples of nodes with one role to the program, in
// the same way.
func testRoleSettings(t *testing.T, bin string) {
	for _, name := range []string{"deploy/roles/signaling.yaml", "deploy/roles/turn.yaml"} {
		cmd := exec.Command(bin, "health", "--config", filepath.Join(root, name), "--metrics-listen", "127.0.0.1:1")
		cmd.Env = []string{}
		out, err := cmd.CombinedOutput()
		exit := new(exec.ExitError)
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !bytes.Contains(out, []byte("health")) {
			t.Errorf("%s: rondo health with it: %v\n%s", name, err, out)
		}
	}
}

// TestComposeFiles: what is mounted from here is here, and nothing secret is.
func TestComposeFiles(t *testing.T) {
	for name, s := range compose(t).Services {
		for _, v := range s.Volumes {
			if source, _, _ := strings.Cut(v, ":"); strings.HasPrefix(source, ".") {
				if _, err := os.Stat(filepath.Join(root, source)); err != nil {
					t.Errorf("service %s: %v", name, err)
				}
			}
		}
		for k, v := range s.Environment {
			if strings.HasSuffix(k, "_PASSWORD_FILE") { // a path
				continue
			}
			if regexp.MustCompile(`PASSWORD|TOKEN|_KEY$|SECRET$`).MatchString(k) && v != "" {
				t.Errorf("service %s: %s has a value in the repository", name, k)
			}
		}
		if tag := s.Image[strings.LastIndex(s.Image, ":")+1:]; tag == "latest" && s.Image != "rondo:latest" {
			t.Errorf("service %s: image %s is not pinned", name, s.Image)
		}
	}
}

// TestComposeHasAccounts: the nodes share one database, wait for it, and open it with a
// password that is made anew for each installation and kept beside it.
func TestComposeHasAccounts(t *testing.T) {
	f := compose(t)
	// mounted returns the named volume that holds the path in a service.
	mounted := func(service, path string) string {
		for _, v := range f.Services[service].Volumes {
			part := strings.Split(v, ":")
			if _, named := f.Volumes[part[0]]; named && path != "" && strings.HasPrefix(path, part[1]+"/") {
				return part[0]
			}
		}
		return ""
	}
	host := func(address string) string {
		address = placeholder.ReplaceAllString(address, "$1")
		if u, err := url.Parse(address); err == nil && u.Host != "" {
			return u.Hostname()
		}
		name, _, _ := strings.Cut(address, ":")
		return name
	}
	for _, node := range []string{"node1", "node2"} {
		s := f.Services[node]
		where := s.Environment["RONDO_DATABASE"]
		if where == "" || where != f.Services["node1"].Environment["RONDO_DATABASE"] {
			t.Errorf("%s has the database %q", node, where)
		}
		database := host(where)
		server, ok := f.Services[database]
		waits, _ := s.DependsOn.(map[string]any)
		if !ok || server.Healthcheck == nil || waits[database] == nil {
			t.Errorf("%s does not wait until %s is there", node, database)
		}
		file := s.Environment["RONDO_DATABASE_PASSWORD_FILE"]
		volume := mounted(node, file)
		if volume == "" || volume != mounted(database, server.Environment["POSTGRES_PASSWORD_FILE"]) {
			t.Errorf("%s and %s do not have one password: %s in the volume %q", node, database, file, volume)
		}
		if mounted(volume, "/data/password") != volume { // the service of this name makes it
			t.Errorf("nobody makes what is in the volume %q", volume)
		}
		if _, ok := f.Services[host(s.Environment["RONDO_SMTP"])]; !ok {
			t.Errorf("%s sends its mails to %s", node, s.Environment["RONDO_SMTP"])
		}
	}
}

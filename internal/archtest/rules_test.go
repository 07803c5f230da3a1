package archtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRulesCanFail runs the checks over a small house full of mistakes: each
// line that says "want <rule>" must be found, and nothing else.
func TestRulesCanFail(t *testing.T) {
	const root = "testdata/house"
	tree, err := Load(root, "github.com/rondo-chat/rondo")
	if err != nil {
		t.Fatal(err)
	}
	want := wanted(t, root)
	var got []string
	rules := map[Rule]bool{}
	for _, f := range tree.Check() {
		got = append(got, fmt.Sprintf("%s:%d %s", f.File, f.Line, f.Rule))
		rules[f.Rule] = true
		if !slices.Contains(want, got[len(got)-1]) {
			t.Errorf("found without want: %s (%s)", f, f.Rule)
		}
		if !strings.Contains(f.Text, ":") {
			t.Errorf("the finding %q does not say what to do", f)
		}
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("not found: %s", w)
		}
	}
	for _, rule := range []Rule{RuleFloors, RuleSiblings, RuleVendors, RuleProcess, RuleInit, RuleVars, RuleSleep} {
		if !rules[rule] {
			t.Errorf("no fixture breaks rule %s", rule)
		}
	}
}

// wanted reads the "want" comments of the Go files under root.
func wanted(t *testing.T, root string) []string {
	t.Helper()
	var want []string
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(src), "\n") {
			if _, rule, ok := strings.Cut(line, "// want "); ok {
				want = append(want, fmt.Sprintf("%s:%d %s", filepath.ToSlash(rel), i+1, rule))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// TestEmptyFolder: version control keeps no empty folder, so the test makes them.
func TestEmptyFolder(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"full/inner", "hollow/inner", "data/inner", "corpus/testdata", ".hidden"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "full/inner/notes.md"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tree, err := Load(root, "example.org/m", "data")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range tree.Check() {
		got = append(got, string(f.Rule)+" "+f.File)
	}
	if want := []string{"empty hollow", "empty hollow/inner"}; !slices.Equal(got, want) {
		t.Errorf("empty folders: got %q, want %q", got, want)
	}
}

func TestLoadErrors(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "nowhere"), "m"); err == nil {
		t.Error("a root that is not there: no error")
	}
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a.go"), []byte("package"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(root, "m"); err == nil {
		t.Error("a file that cannot be parsed: no error")
	}
}

func TestInRoom(t *testing.T) {
	for _, c := range []struct {
		folder string
		rooms  []string
		want   bool
	}{
		{"rooms/redisstore", []string{"*/redis*"}, true},
		{"bus/redisbus/deep", []string{"*/redis*"}, true},
		{"rooms", []string{"*/redis*"}, false},
		{"cmd/rondo", []string{"cmd"}, true},
		{"cmdx", []string{"cmd"}, false},
		{"chat/sqlstore", []string{"*/sqlstore", "internal/database"}, true},
		{"internal/database/migrate", []string{"*/sqlstore", "internal/database"}, true},
		{"internal", []string{"*/sqlstore", "internal/database"}, false},
	} {
		if got := inRoom(c.folder, c.rooms); got != c.want {
			t.Errorf("inRoom(%q, %q) = %t", c.folder, c.rooms, got)
		}
	}
}

package spectest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityRows: every test that docs/security.md names is there, in the package
// that its command names, and the command runs it.
func TestSecurityRows(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| (.+) \\| ((?:`Test\\w+`(?:, )?)+) \\| `go test -race -run '(.+)' \\./([a-z0-9/]+)` \\|$")
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := row.FindAllStringSubmatch(string(page), -1)
	if len(rows) < 35 || len(rows) != strings.Count(string(page), "`go test -race -run") {
		t.Fatalf("%d rows can be read", len(rows))
	}
	for _, r := range rows {
		files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(r[4]), "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: no tests in %s, %v", r[1], r[4], err)
		}
		var code strings.Builder
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(b)
		}
		run, err := regexp.Compile(strings.ReplaceAll(r[3], `\|`, "|")) // as a cell of the table has it
		if err != nil {
			t.Errorf("%s: %v", r[1], err)
			continue
		}
		for name := range strings.SplitSeq(strings.ReplaceAll(r[2], "`", ""), ", ") {
			if !strings.Contains(code.String(), "\nfunc "+name+"(t *testing.T)") {
				t.Errorf("%s: %s is not in %s", r[1], name, r[4])
			}
			if !run.MatchString(name) {
				t.Errorf("%s: the command does not run %s", r[1], name)
			}
		}
	}
}

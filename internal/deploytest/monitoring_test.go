package deploytest

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const (
	root      = "../.."
	dashboard = "deploy/grafana/dashboards/rondo.json"
	alerts    = "deploy/prometheus/alerts.yml"
)

// read returns a file of the repository.
func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// metricName finds our metrics and those that the Prometheus client makes.
var metricName = regexp.MustCompile(`\b(rondo|go|process|promhttp)_[a-z0-9_]+`)

// inCode returns all metric names that the code can register: string constants,
// also put together from a file's constants namespace and subsystem, or from a
// prefix such as "rondo_match_" that stands in the file.
func inCode(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		addStrings(f, names)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func addStrings(f *ast.File, names map[string]bool) {
	prefixes := []string{"", constant(f, "namespace") + "_" + constant(f, "subsystem") + "_"}
	var all []string
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				all = append(all, s)
				if strings.HasPrefix(s, "rondo_") && strings.HasSuffix(s, "_") {
					prefixes = append(prefixes, s)
				}
			}
		}
		return true
	})
	for _, prefix := range prefixes {
		for _, s := range all {
			names[prefix+s] = true
		}
	}
}

// constant returns the value of a string constant of the file.
func constant(f *ast.File, name string) string {
	for _, d := range f.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST {
			continue
		}
		for _, s := range decl.Specs {
			spec := s.(*ast.ValueSpec)
			if len(spec.Values) != 1 || spec.Names[0].Name != name {
				continue
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
				if v, err := strconv.Unquote(lit.Value); err == nil {
					return v
				}
			}
		}
	}
	return ""
}

// exists reports whether a metric, or the histogram it is a series of, exists.
func exists(names map[string]bool, metric string) bool {
	if !strings.HasPrefix(metric, "rondo_") {
		return true // of the Prometheus client
	}
	for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(metric, suffix); ok && names[base] {
			return true
		}
	}
	return false
}

func TestMetricsExist(t *testing.T) {
	names := inCode(t)
	for _, file := range []string{dashboard, alerts} {
		used := metricName.FindAllString(string(read(t, file)), -1)
		slices.Sort(used)
		used = slices.Compact(used)
		if len(used) < 10 {
			t.Errorf("%s: only %d metrics found", file, len(used))
		}
		for _, metric := range used {
			if !exists(names, metric) {
				t.Errorf("%s uses %s, which no package registers", file, metric)
			}
		}
	}
	if exists(names, "rondo_no_such_metric") || !exists(names, "rondo_build_info") {
		t.Error("the search for metrics in the code does not work")
	}
}

// panel is what is checked of a Grafana panel.
type panel struct {
	ID      int
	Type    string
	Title   string
	GridPos struct{ X, Y, W, H int }
	Targets []struct {
		Expr       string
		Datasource struct{ UID string }
	}
}

func panels(t *testing.T) []panel {
	t.Helper()
	var d struct {
		UID    string
		Title  string
		Panels []panel
	}
	if err := json.Unmarshal(read(t, dashboard), &d); err != nil {
		t.Fatalf("%s: %v", dashboard, err)
	}
	if d.UID == "" || d.Title == "" || len(d.Panels) < 10 {
		t.Errorf("%s: uid %q, title %q, %d panels", dashboard, d.UID, d.Title, len(d.Panels))
	}
	return d.Panels
}

func TestDashboard(t *testing.T) {
	source := string(read(t, "deploy/grafana/provisioning/datasources/prometheus.yml"))
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range panels(t) {
		if p.Title == "" || ids[p.ID] {
			t.Errorf("panel %d (%q): no title, or the number is taken", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok || x >= 24 {
					t.Fatalf("panel %q covers panel %q or leaves the page", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q asks nothing", p.Title)
		}
		for _, target := range p.Targets {
			if !strings.Contains(source, "uid: "+target.Datasource.UID+"\n") {
				t.Errorf("panel %q: datasource %q is not provisioned", p.Title, target.Datasource.UID)
			}
		}
	}
}

// rule is an alert rule.
type rule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	if err := yaml.UnmarshalWithOptions(read(t, alerts), &file, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", alerts, err)
	}
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func TestAlertsSayWhatToDo(t *testing.T) {
	manual := string(read(t, "docs/operations.md"))
	all := rules(t)
	if len(all) < 8 {
		t.Errorf("only %d alert rules", len(all))
	}
	for _, r := range all {
		if r.Alert == "" || r.Expr == "" || r.For == "" || r.Annotations["summary"] == "" {
			t.Errorf("alert %q lacks a name, an expression, a time or a summary", r.Alert)
		}
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("alert %s: severity %q is neither page nor ticket", r.Alert, s)
		}
		if !strings.Contains(manual, "`"+r.Alert+"`") {
			t.Errorf("alert %s: docs/operations.md does not say what to do", r.Alert)
		}
	}
}

// TestPromtool lets Prometheus itself read the configuration, the rules and the
// dashboard's questions. It is not among CI's packages: too large for that.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian package prometheus)")
	}
	check := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	check("check", "config", filepath.Join(root, "deploy/prometheus/prometheus.yml"))
	var b strings.Builder
	b.WriteString("groups:\n- name: dashboard\n  rules:\n")
	n := 0
	for _, p := range panels(t) {
		for _, target := range p.Targets {
			n++
			expr := strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h", "$node", ".*", "$pool", ".*").Replace(target.Expr)
			fmt.Fprintf(&b, "  - record: panel:%d\n    expr: %s\n", n, strconv.Quote(expr))
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	check("check", "rules", file)
}

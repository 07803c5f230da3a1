package deploytest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/rondo-chat/rondo/internal/testenv"
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

// documented returns the labels of each metric that docs/metrics.md lists. That
// the page lists what the code makes is tested in package metrics.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	row := regexp.MustCompile("(?m)^\\|[ †]*`(rondo_[a-z_]+)`[ †]*\\|([^|]*)\\|([^|]*)\\|")
	name := regexp.MustCompile("`([a-z_]+)`")
	for _, m := range row.FindAllStringSubmatch(string(read(t, "docs/metrics.md")), -1) {
		labels := []string{"instance", "job"}
		for part := range strings.SplitSeq(m[3], ";") {
			// "`a`, `b`: `value` `value`": what stands before the colon are labels.
			names, _, _ := strings.Cut(part, ":")
			for _, l := range name.FindAllStringSubmatch(names, -1) {
				labels = append(labels, l[1])
			}
		}
		if strings.Contains(m[2], "histogram") {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				all[m[1]+suffix] = append(slices.Clone(labels), "le")
			}
			continue
		}
		all[m[1]] = labels
	}
	if len(all) < 60 {
		t.Fatalf("docs/metrics.md lists only %d metrics", len(all))
	}
	return all
}

var (
	metricUse = regexp.MustCompile(`\b((?:rondo|go|process|promhttp)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	grouping  = regexp.MustCompile(`\b(?:by|on|without) ?\(([^)]*)\)`)
	matcher   = regexp.MustCompile(`([a-z_]+) ?(?:=~|!~|!=|=)`)
	quoted    = regexp.MustCompile(`"[^"]*"`)
)

// unknown says which metrics and labels of a question do not exist.
func unknown(expr string, all map[string][]string) []string {
	var problems []string
	labels := []string{"le"}
	for _, m := range metricUse.FindAllStringSubmatch(quoted.ReplaceAllString(expr, `""`), -1) {
		known, ok := all[m[1]]
		if !strings.HasPrefix(m[1], "rondo_") {
			known, ok = []string{"instance", "job"}, true // of the Prometheus client
		}
		if !ok {
			problems = append(problems, "there is no metric "+m[1])
			continue
		}
		labels = append(labels, known...)
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(known, l[1]) {
				problems = append(problems, m[1]+" has no label "+l[1])
			}
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for l := range strings.SplitSeq(g[1], ",") {
			if l = strings.TrimSpace(l); !slices.Contains(labels, l) {
				problems = append(problems, "no metric here has the label "+l)
			}
		}
	}
	return problems
}

func TestMetricsExist(t *testing.T) {
	all := documented(t)
	for _, p := range panels(t) {
		for _, target := range p.Targets {
			for _, problem := range unknown(target.Expr, all) {
				t.Errorf("dashboard, panel %q: %s", p.Title, problem)
			}
		}
	}
	for _, r := range rules(t) {
		for _, problem := range unknown(r.Expr, all) {
			t.Errorf("alert %s: %s", r.Alert, problem)
		}
	}
	for _, wrong := range []string{
		`rondo_no_such_metric`,
		`rondo_ws_handler_seconds`, // a histogram's series have suffixes
		`rondo_ws_sessions{stat="away"}`,
		`sum by (pool) (rondo_ws_sessions)`,
	} {
		if len(unknown(wrong, all)) == 0 {
			t.Errorf("%s: nothing wrong was found", wrong)
		}
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
// dashboard's questions.
func TestPromtool(t *testing.T) {
	promtool := testenv.Need(t, "promtool")
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

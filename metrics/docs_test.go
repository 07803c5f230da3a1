package metrics

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestDocs: docs/metrics.md lists each metric that a package of this module
// makes, and no other. Names are read off the sources: the Name of an Opts, or
// the first argument of NewDesc, made of string constants; where a helper's
// parameter is part of it, each call of the helper gives a name.
func TestDocs(t *testing.T) {
	made := map[string]bool{}
	for _, dir := range packageDirs(t, "..") {
		p := parsePackage(t, dir)
		for _, name := range p.names() {
			made[name] = true
		}
		for _, what := range p.unclear {
			t.Errorf("%s: cannot tell the name of a metric; make it of string constants and at most one parameter of a helper", what)
		}
	}
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| (?:† )?`(rondo_[a-z0-9_]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		if listed[m[1]] {
			t.Errorf("docs/metrics.md lists %s twice", m[1])
		}
		listed[m[1]] = true
	}
	for _, name := range slices.Sorted(maps.Keys(made)) {
		if !listed[name] {
			t.Errorf("docs/metrics.md does not list %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		if !made[name] {
			t.Errorf("docs/metrics.md lists %s, which nothing makes", name)
		}
	}
	if len(made) < 40 {
		t.Errorf("only %d metrics were found in the sources", len(made))
	}
}

func packageDirs(t *testing.T, root string) []string {
	t.Helper()
	dirs := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			dirs[filepath.Dir(path)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(dirs))
}

// pkg is a package's sources and what was found in them.
type pkg struct {
	fset    *token.FileSet
	files   []*ast.File
	consts  map[string]string
	helpers []helper // functions that make metrics named by a parameter
	found   []string
	unclear []string // places
}

// helper makes metrics named prefix + its parameter at index + suffix.
type helper struct {
	name           string
	index          int
	prefix, suffix string
}

func parsePackage(t *testing.T, dir string) *pkg {
	t.Helper()
	p := &pkg{fset: token.NewFileSet(), consts: map[string]string{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(p.fset, filepath.Join(dir, e.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		p.files = append(p.files, f)
	}
	return p
}

func (p *pkg) names() []string {
	p.each(func(n ast.Node, _ function) {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == len(spec.Names) {
			for i, name := range spec.Names {
				if lit, ok := spec.Values[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					p.consts[name.Name], _ = strconv.Unquote(lit.Value)
				}
			}
		}
	})
	p.each(p.makers)
	p.each(p.calls)
	return p.found
}

// function is the innermost function around a node.
type function struct {
	name   string
	params []string
}

// each calls f with every node and the function around it.
func (p *pkg) each(f func(ast.Node, function)) {
	var walk func(ast.Node, function)
	walk = func(root ast.Node, in function) {
		ast.Inspect(root, func(n ast.Node) bool {
			if n == nil || n == root {
				return true
			}
			f(n, in)
			switch n := n.(type) {
			case *ast.FuncDecl:
				walk(n, function{n.Name.Name, params(n.Type)})
				return false
			case *ast.AssignStmt: // name := func(…) {…}
				if len(n.Rhs) == 1 && len(n.Lhs) == 1 {
					lit, isFunc := n.Rhs[0].(*ast.FuncLit)
					name, isName := n.Lhs[0].(*ast.Ident)
					if isFunc && isName {
						walk(lit, function{name.Name, params(lit.Type)})
						return false
					}
				}
			}
			return true
		})
	}
	for _, file := range p.files {
		walk(file, function{})
	}
}

func params(t *ast.FuncType) []string {
	var names []string
	for _, field := range t.Params.List {
		for _, n := range field.Names {
			names = append(names, n.Name)
		}
	}
	return names
}

// makers finds where metrics are made.
func (p *pkg) makers(n ast.Node, in function) {
	switch n := n.(type) {
	case *ast.CompositeLit:
		sel, ok := n.Type.(*ast.SelectorExpr)
		if !ok || !isIdent(sel.X, "prometheus") || !slices.Contains([]string{"CounterOpts", "GaugeOpts", "HistogramOpts", "SummaryOpts"}, sel.Sel.Name) {
			return
		}
		fields := map[string]ast.Expr{}
		for _, e := range n.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				fields[kv.Key.(*ast.Ident).Name] = kv.Value
			}
		}
		var parts []ast.Expr
		for _, key := range []string{"Namespace", "Subsystem"} {
			if fields[key] != nil {
				parts = append(parts, fields[key], &ast.BasicLit{Kind: token.STRING, Value: `"_"`})
			}
		}
		p.name(n, append(parts, fields["Name"]), in)
	case *ast.CallExpr:
		if sel, ok := n.Fun.(*ast.SelectorExpr); ok && isIdent(sel.X, "prometheus") && sel.Sel.Name == "NewDesc" {
			p.name(n, n.Args[:1], in)
		}
	}
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// name notes the name that the parts make, or the helper that makes it.
func (p *pkg) name(at ast.Node, parts []ast.Expr, in function) {
	h := helper{name: in.name, index: -1}
	for _, part := range parts {
		for _, e := range sum(part) {
			text, ok := p.text(e)
			if ok && h.index < 0 {
				h.prefix += text
				continue
			} else if ok {
				h.suffix += text
				continue
			}
			id, isName := e.(*ast.Ident)
			if !isName || h.index >= 0 || !slices.Contains(in.params, id.Name) || in.name == "" {
				p.unclear = append(p.unclear, p.fset.Position(at.Pos()).String())
				return
			}
			h.index = slices.Index(in.params, id.Name)
		}
	}
	if h.index < 0 {
		p.found = append(p.found, h.prefix)
	} else {
		p.helpers = append(p.helpers, h)
	}
}

// sum splits a + b + c.
func sum(e ast.Expr) []ast.Expr {
	if b, ok := e.(*ast.BinaryExpr); ok && b.Op == token.ADD {
		return append(sum(b.X), sum(b.Y)...)
	}
	return []ast.Expr{e}
}

func (p *pkg) text(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		s, ok := p.consts[e.Name]
		return s, ok
	}
	return "", false
}

// calls finds calls of helpers.
func (p *pkg) calls(n ast.Node, _ function) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return
	}
	name := ""
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	for _, h := range p.helpers {
		if h.name != name || len(call.Args) <= h.index {
			continue
		}
		var text strings.Builder
		for _, e := range sum(call.Args[h.index]) {
			s, ok := p.text(e)
			if !ok {
				p.unclear = append(p.unclear, p.fset.Position(call.Pos()).String())
				return
			}
			text.WriteString(s)
		}
		p.found = append(p.found, h.prefix+text.String()+h.suffix)
	}
}

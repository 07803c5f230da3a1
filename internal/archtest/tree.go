package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Tree is the parsed source of a module.
type Tree struct {
	root    string
	module  string
	fset    *token.FileSet
	folders map[string]*folder // by path relative to the root, "" is the root
	checked map[string]*types.Package
}

// folder is a directory: at most one package, its tests, and its external tests.
type folder struct {
	path  string
	files []*file
	empty bool // holds nothing, in no depth
}

// file is one Go file.
type file struct {
	path   string // relative to the root
	folder *folder
	syntax *ast.File
	test   bool // …_test.go

	info *types.Info    // names resolved within the module; nothing else is
	pkg  *types.Package // the package, or its external test
}

// Load reads all Go files under root, except those in testdata, node_modules,
// hidden folders and what the build leaves behind (skipped).
func Load(root, module string, skipped ...string) (*Tree, error) {
	t := &Tree{
		root: root, module: module, fset: token.NewFileSet(),
		folders: map[string]*folder{}, checked: map[string]*types.Package{},
	}
	if _, err := t.walk("", skipped); err != nil {
		return nil, err
	}
	for _, d := range t.sorted() {
		t.resolve(d)
	}
	return t, nil
}

// walk reads the folder at p and reports whether anything is in it.
func (t *Tree) walk(p string, skipped []string) (found bool, err error) {
	d := &folder{path: p}
	t.folders[p] = d
	entries, err := os.ReadDir(filepath.Join(t.root, filepath.FromSlash(p)))
	if err != nil {
		return false, fmt.Errorf("archtest: %w", err)
	}
	for _, e := range entries {
		name := path.Join(p, e.Name())
		switch {
		case e.IsDir() && skip(e, name, skipped):
			found = found || e.Name() == "testdata"
		case e.IsDir():
			inside, err := t.walk(name, skipped)
			if err != nil {
				return false, err
			}
			found = found || inside
		case strings.HasSuffix(name, ".go"):
			found = true
			if err := t.parse(d, name); err != nil {
				return false, err
			}
		default:
			found = true
		}
	}
	d.empty = !found
	return found, nil
}

func skip(e fs.DirEntry, name string, skipped []string) bool {
	return e.Name() == "testdata" || e.Name() == "node_modules" ||
		strings.HasPrefix(e.Name(), ".") || slices.Contains(skipped, name)
}

func (t *Tree) parse(d *folder, name string) error {
	syntax, err := parser.ParseFile(t.fset, filepath.Join(t.root, filepath.FromSlash(name)), nil,
		parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("archtest: %w", err)
	}
	d.files = append(d.files, &file{path: name, folder: d, syntax: syntax, test: strings.HasSuffix(name, "_test.go")})
	return nil
}

// sorted returns the folders in order of their paths.
func (t *Tree) sorted() []*folder {
	var list []*folder
	for _, d := range t.folders {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b *folder) int { return strings.Compare(a.path, b.path) })
	return list
}

// files returns all files of the tree in order.
func (t *Tree) files() []*file {
	var list []*file
	for _, d := range t.sorted() {
		list = append(list, d.files...)
	}
	return list
}

// resolve finds out what each name in d's files means: the package with its
// tests, then the external tests.
func (t *Tree) resolve(d *folder) {
	var inside, outside []*file
	for _, f := range d.files {
		if f.test && strings.HasSuffix(f.syntax.Name.Name, "_test") {
			outside = append(outside, f)
		} else {
			inside = append(inside, f)
		}
	}
	t.typecheck(t.importPath(d), inside)
	t.typecheck(t.importPath(d)+"_test", outside)
}

func (t *Tree) typecheck(importPath string, files []*file) *types.Package {
	if len(files) == 0 {
		return nil
	}
	info := &types.Info{
		Defs:       map[*ast.Ident]types.Object{},
		Uses:       map[*ast.Ident]types.Object{},
		Types:      map[ast.Expr]types.TypeAndValue{},
		Selections: map[*ast.SelectorExpr]*types.Selection{},
	}
	// Other modules and the standard library are empty packages here, so most
	// files have "errors"; names of this module are resolved all the same.
	conf := types.Config{Importer: t, Error: func(error) {}, FakeImportC: true}
	syntax := make([]*ast.File, len(files))
	for i, f := range files {
		syntax[i] = f.syntax
	}
	pkg, _ := conf.Check(importPath, t.fset, syntax, info)
	for _, f := range files {
		f.info, f.pkg = info, pkg
	}
	return pkg
}

// Import is for go/types: a package of this module without its tests, or an
// empty package for everything else.
func (t *Tree) Import(importPath string) (*types.Package, error) {
	if pkg := t.checked[importPath]; pkg != nil {
		return pkg, nil
	}
	empty := types.NewPackage(importPath, guessName(importPath))
	empty.MarkComplete()
	t.checked[importPath] = empty // also ends import cycles
	own, ok := t.own(importPath)
	if !ok || t.folders[own] == nil {
		return empty, nil
	}
	var files []*file
	for _, f := range t.folders[own].files {
		if !f.test {
			files = append(files, f)
		}
	}
	if pkg := t.typecheck(importPath, files); pkg != nil {
		t.checked[importPath] = pkg
		return pkg, nil
	}
	return empty, nil
}

// guessName is the name that a package most likely has.
func guessName(importPath string) string {
	name := path.Base(importPath)
	if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
		name = path.Base(path.Dir(importPath))
	}
	return strings.TrimPrefix(name, "go-")
}

// importPath is what d is imported as.
func (t *Tree) importPath(d *folder) string {
	if d.path == "" {
		return t.module
	}
	return t.module + "/" + d.path
}

// own returns the folder of an import path of this module.
func (t *Tree) own(importPath string) (string, bool) {
	if importPath == t.module {
		return "", true
	}
	return strings.CutPrefix(importPath, t.module+"/")
}

// find makes a finding at a node.
func (t *Tree) find(rule Rule, f *file, at ast.Node, format string, args ...any) Finding {
	return Finding{Rule: rule, File: f.path, Line: t.fset.Position(at.Pos()).Line, Text: fmt.Sprintf(format, args...)}
}

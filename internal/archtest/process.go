package archtest

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"
)

// forbiddenCalls are what only cmd may use, by package.
func forbiddenCalls() map[string][]string {
	return map[string][]string{
		"os":      {"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Setenv", "Unsetenv", "Clearenv", "Exit", "Args"},
		"syscall": {"Getenv", "Environ", "Setenv", "Exit"},
		"log":     {"Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln", "SetOutput", "SetFlags", "SetPrefix"},
	}
}

// process checks that the environment, the flags and the end of the process
// are cmd's alone. Tests may exit in TestMain; the end-to-end tests and testenv
// may read the environment, which is how they learn of CI; so may what only test
// builds have (the build tag of internal/seeded); a program under e2e (it makes test
// data) is a program.
func (t *Tree) process() []Finding {
	var found []Finding
	for _, f := range t.files() {
		if top(f.folder.path) == "cmd" || top(f.folder.path) == "e2e" && f.syntax.Name.Name == "main" {
			continue
		}
		for _, spec := range f.syntax.Imports {
			if spec.Path.Value == `"flag"` {
				found = append(found, t.find(RuleProcess, f, spec, "flags belong to cmd: take the value in the Config"))
			}
		}
		inspect(f, func(n ast.Node, stack []ast.Node) {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return
			}
			pkg, name := f.qualified(sel)
			if !slices.Contains(forbiddenCalls()[pkg], name) || processAllowed(f, pkg, name, stack) {
				return
			}
			found = append(found, t.find(RuleProcess, f, sel, "%s.%s belongs to cmd: take the value in the Config, return an error", pkg, name))
		})
	}
	return found
}

func processAllowed(f *file, pkg, name string, stack []ast.Node) bool {
	if pkg == "os" && name == "Exit" {
		fn := enclosing(stack)
		return f.test && fn != nil && fn.Recv == nil && fn.Name.Name == "TestMain"
	}
	environment := pkg == "os" && name != "Setenv" && name != "Unsetenv" && name != "Clearenv"
	return environment && (f.folder.path == "internal/testenv" || top(f.folder.path) == "e2e" || f.path == "internal/seeded/on.go")
}

// inits finds init functions.
func (t *Tree) inits() []Finding {
	var found []Finding
	for _, f := range t.files() {
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				found = append(found, t.find(RuleInit, f, fn, "no init functions: do it in a constructor that its user calls"))
			}
		}
	}
	return found
}

// emptyFolders finds folders that hold nothing.
func (t *Tree) emptyFolders() []Finding {
	var found []Finding
	for _, d := range t.sorted() {
		if d.empty && d.path != "" {
			found = append(found, Finding{Rule: RuleEmpty, File: d.path, Text: "empty folder: remove it until something belongs there"})
		}
	}
	return found
}

// qualified returns the package and the name of an expression such as os.Exit,
// whatever the package is called in this file.
func (f *file) qualified(sel *ast.SelectorExpr) (pkg, name string) {
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return "", ""
	}
	p, ok := f.info.Uses[id].(*types.PkgName)
	if !ok {
		return "", ""
	}
	return strings.TrimSuffix(p.Imported().Path(), "_test"), sel.Sel.Name
}

// inspect visits all nodes of a file with the nodes that enclose each.
func inspect(f *file, visit func(n ast.Node, stack []ast.Node)) {
	var stack []ast.Node
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return true
		}
		visit(n, stack)
		stack = append(stack, n)
		return true
	})
}

// enclosing returns the function declaration that encloses the end of stack.
func enclosing(stack []ast.Node) *ast.FuncDecl {
	for _, n := range slices.Backward(stack) {
		if fn, ok := n.(*ast.FuncDecl); ok {
			return fn
		}
	}
	return nil
}

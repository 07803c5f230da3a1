package archtest

import (
	"go/ast"
	"go/types"
)

// sleeps finds time.Sleep in tests and test helpers. Within a synctest bubble
// it is how fake time passes: there it is allowed.
func (t *Tree) sleeps() []Finding {
	bubbles := t.findBubbles()
	var found []Finding
	for _, f := range t.files() {
		if !f.test && !isTestHelper(f.folder.path) {
			continue
		}
		inspect(f, func(n ast.Node, stack []ast.Node) {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return
			}
			if pkg, name := f.qualified(sel); pkg == "time" && name == "Sleep" && !bubbles.around(f, stack) {
				found = append(found, t.find(RuleSleep, f, sel,
					"no time.Sleep in tests: wait for the condition (testenv.Eventually) or use a testing/synctest bubble"))
			}
		})
	}
	return found
}

// bubbles knows where time is fake. Functions go by their full names.
type bubbles struct {
	makers map[string]bool // call synctest.Test: what they are given runs in a bubble
	inside map[string]bool // run in bubbles only
}

// use is a place where a function is named.
type use struct {
	by     string // the function around it
	inside bool   // in an argument of a maker
}

// findBubbles finds the makers, and the functions that run in bubbles: those that
// wait with synctest.Wait and make no bubble, and those that are used in bubbles
// and nowhere else.
func (t *Tree) findBubbles() *bubbles {
	b := &bubbles{makers: map[string]bool{}, inside: map[string]bool{}}
	for _, f := range t.files() {
		for _, d := range f.syntax.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			makes := f.mentions(fn, "testing/synctest", "Test")
			b.makers[f.fullName(fn.Name)] = makes
			b.inside[f.fullName(fn.Name)] = !makes && f.mentions(fn, "testing/synctest", "Wait")
		}
	}
	uses := b.uses(t)
	for changed := true; changed; {
		changed = false
		for name, list := range uses {
			if !b.inside[name] && b.onlyInside(name, list) {
				b.inside[name], changed = true, true
			}
		}
	}
	return b
}

// uses returns where each function of the module is named.
func (b *bubbles) uses(t *Tree) map[string][]use {
	uses := map[string][]use{}
	for _, f := range t.files() {
		inspect(f, func(n ast.Node, stack []ast.Node) {
			id, ok := n.(*ast.Ident)
			if !ok {
				return
			}
			fn, ok := f.info.Uses[id].(*types.Func)
			if !ok {
				return
			}
			u := use{inside: b.inArgument(f, append(stack, n))}
			if around := enclosing(stack); around != nil {
				u.by = f.fullName(around.Name)
			}
			uses[fn.FullName()] = append(uses[fn.FullName()], u)
		})
	}
	return uses
}

func (b *bubbles) onlyInside(name string, list []use) bool {
	others := 0
	for _, u := range list {
		if u.by == name {
			continue
		}
		if !u.inside && !b.inside[u.by] {
			return false
		}
		others++
	}
	return others > 0
}

// around reports whether what stands below stack runs in a bubble.
func (b *bubbles) around(f *file, stack []ast.Node) bool {
	if b.inArgument(f, stack) {
		return true
	}
	fn := enclosing(stack)
	return fn != nil && b.inside[f.fullName(fn.Name)]
}

// inArgument reports whether the end of stack stands in an argument of a maker.
func (b *bubbles) inArgument(f *file, stack []ast.Node) bool {
	for i, n := range stack {
		call, ok := n.(*ast.CallExpr)
		if !ok || i+1 >= len(stack) || stack[i+1] == call.Fun {
			continue
		}
		switch fun := ast.Unparen(call.Fun).(type) {
		case *ast.SelectorExpr:
			if pkg, name := f.qualified(fun); pkg == "testing/synctest" && name == "Test" || b.makers[f.fullName(fun.Sel)] {
				return true
			}
		case *ast.Ident:
			if b.makers[f.fullName(fun)] {
				return true
			}
		}
	}
	return false
}

// fullName returns the full name of the function that id names or declares, ""
// for anything else.
func (f *file) fullName(id *ast.Ident) string {
	obj := f.info.Uses[id]
	if obj == nil {
		obj = f.info.Defs[id]
	}
	if fn, ok := obj.(*types.Func); ok {
		return fn.FullName()
	}
	return ""
}

// mentions reports whether pkg.name occurs in n.
func (f *file) mentions(n ast.Node, pkg, name string) bool {
	hit := false
	ast.Inspect(n, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			p, s := f.qualified(sel)
			hit = hit || p == pkg && s == name
		}
		return !hit
	})
	return hit
}

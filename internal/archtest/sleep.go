package archtest

import "go/ast"

// sleeps finds time.Sleep in tests and test helpers.
func (t *Tree) sleeps() []Finding {
	var found []Finding
	for _, f := range t.files() {
		if !f.test && !isTestHelper(f.folder.path) {
			continue
		}
		inspect(f, func(n ast.Node, _ []ast.Node) {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return
			}
			if pkg, name := f.qualified(sel); pkg == "time" && name == "Sleep" {
				found = append(found, t.find(RuleSleep, f, sel,
					"no time.Sleep in tests: wait for the condition (testenv.Eventually), in a testing/synctest bubble let time pass (testenv.Elapse)"))
			}
		})
	}
	return found
}

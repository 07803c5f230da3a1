// Package archtest reads the sources of the whole module and holds the rules of
// the house over them: which package may import which, which room a vendor
// stays in, who may touch the environment, and what a package may keep in
// variables. Each finding says where it is and what to do about it.
//
// It reads syntax, not compiled packages, so that it needs no build, runs in
// well under a second, and still speaks while a package does not compile.
package archtest

import (
	"cmp"
	"fmt"
	"slices"
)

// Rule names one rule of the house.
type Rule string

// The rules.
const (
	RuleFloors   Rule = "floors"   // arrows point down
	RuleSiblings Rule = "siblings" // features never import one another
	RuleVendors  Rule = "vendors"  // a vendor stays in its room
	RuleProcess  Rule = "process"  // environment, flags and exit only in cmd
	RuleInit     Rule = "init"     // no init functions
	RuleVars     Rule = "vars"     // no mutable package variables
	RuleSleep    Rule = "sleep"    // no time.Sleep in tests
	RuleEmpty    Rule = "empty"    // no empty folders
)

// Finding is one place where a rule is broken.
type Finding struct {
	Rule Rule
	File string // relative to the root, with slashes
	Line int    // 0 for a folder
	Text string // what is wrong and what to do
}

func (f Finding) String() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s", f.File, f.Text)
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text)
}

// Check returns all findings in the tree, in the order of files and lines.
func (t *Tree) Check() []Finding {
	var all []Finding
	for _, check := range []func() []Finding{
		t.imports, t.process, t.inits, t.vars, t.sleeps, t.emptyFolders,
	} {
		all = append(all, check()...)
	}
	slices.SortFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(all)
}

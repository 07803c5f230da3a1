package archtest

import "testing"

// TestHouse holds the rules over the module. To see the rules fail, look at
// TestRulesCanFail.
func TestHouse(t *testing.T) {
	tree, err := Load("../..", "github.com/rondo-chat/rondo", "bin", "data")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(tree.files()); n < 20 {
		t.Fatalf("only %d Go files found: is ../.. the module's root?", n)
	}
	byRule := map[Rule][]Finding{}
	for _, f := range tree.Check() {
		byRule[f.Rule] = append(byRule[f.Rule], f)
	}
	for _, rule := range []Rule{RuleFloors, RuleSiblings, RuleVendors, RuleProcess, RuleInit, RuleVars, RuleSleep, RuleEmpty} {
		t.Run(string(rule), func(t *testing.T) {
			for _, f := range byRule[rule] {
				t.Error(f)
			}
		})
	}
}

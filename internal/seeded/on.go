//go:build chaosbug

package seeded

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
)

// Hit reports whether the bug strikes now. CHAOSBUG is "name/n": that one
// strikes once in n times, drawn at random; the others never do.
func (b Bug) Hit() bool {
	name, odds, _ := strings.Cut(os.Getenv("CHAOSBUG"), "/")
	if name != string(b) {
		return false
	}
	n, err := strconv.Atoi(odds)
	return err != nil || n < 2 || rand.IntN(n) == 0
}

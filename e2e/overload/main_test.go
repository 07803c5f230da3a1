//go:build !race

package overload

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/rondo-chat/rondo/e2e/lab"
)

// attackEnv makes this binary an attacking process.
const attackEnv = "RONDO_OVERLOAD_ATTACK"

func TestMain(m *testing.M) {
	if text := os.Getenv(attackEnv); text != "" {
		if err := runAttack(context.Background(), text, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(lab.Main(m))
}

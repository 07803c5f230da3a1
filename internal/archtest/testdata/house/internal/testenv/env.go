// Package testenv is a fixture: it may learn of CI.
package testenv

import "os"

// CI is whether nothing may be left out.
func CI() bool { return os.Getenv("CI") == "true" }

// Stop is not allowed.
func Stop() { os.Exit(1) } // want process

package e2e

import (
	"os"

	_ "github.com/redis/go-redis/v9"
)

var browser = os.Getenv("BROWSER") // want vars

func quit() { os.Exit(1) } // want process

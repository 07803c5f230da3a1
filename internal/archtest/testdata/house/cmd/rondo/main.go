// Command rondo is a fixture: here all of it is allowed.
package main

import (
	"flag"
	"os"

	_ "github.com/redis/go-redis/v9"
)

var version = "dev" // set by the linker

func main() {
	flag.Parse()
	os.Exit(len(os.Getenv("X") + version))
}

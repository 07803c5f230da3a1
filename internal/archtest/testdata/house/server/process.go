// Package server is a fixture.
package server

import (
	_ "flag" // want process
	"log"
	sys "os"
)

func init() {} // want init

type hidden struct{}

func (hidden) Exit(int) {}
func (hidden) init()    {}

func run() {
	os := hidden{}
	os.Exit(1)                 // not the package
	if sys.Getenv("X") == "" { // want process
		sys.Exit(1) // want process
	}
	if _, ok := sys.LookupEnv("X"); ok { // want process
		log.Fatalf("x") // want process
	}
	log.Print(sys.Getpid())
}

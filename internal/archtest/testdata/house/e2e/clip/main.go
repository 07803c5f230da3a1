// Command clip is a fixture: a program that makes test data.
package main

import "os"

func main() { os.Exit(0) }

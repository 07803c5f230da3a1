//go:build !linux

package table

import "os/exec"

// launch runs cmd.
func launch(cmd *exec.Cmd, begun chan<- error, done chan<- struct{}) {
	err := cmd.Start()
	begun <- err
	if err == nil {
		_ = cmd.Wait() // how it ended is in what it said
	}
	close(done)
}

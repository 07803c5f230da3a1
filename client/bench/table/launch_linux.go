package table

import (
	"os/exec"
	"runtime"
	"syscall"
)

// launch runs cmd, which dies with this process. The signal for that is bound to the thread
// that started it: this one stays for as long.
func launch(cmd *exec.Cmd, begun chan<- error, done chan<- struct{}) {
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := cmd.Start()
	begun <- err
	if err == nil {
		_ = cmd.Wait() // how it ended is in what it said
	}
	close(done)
}

package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a program that a test started. It dies with the test process.
type Process struct {
	cmd  *exec.Cmd
	out  *tail
	done chan struct{} // closed when the process has ended

	err error // of Wait; read after done
}

// Start starts cmd and stops it (SIGKILL) at the test's end. Output that cmd
// sends nowhere else is kept for Output.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p, err := startProcess(cmd)
	if err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	t.Cleanup(p.Kill)
	return p
}

func startProcess(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, out: &tail{max: 256 << 10}, done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p.out
	}
	// A child that left grandchildren must not keep Wait on their pipes.
	cmd.WaitDelay = 2 * time.Second
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL

	started := make(chan error, 1)
	go func() {
		// The death signal is bound to the thread that started the child: this
		// one waits for it, and ends (it stays locked) only after the child.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Kill ends the process with SIGKILL and waits for its end. It may be called
// again.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // already gone: fine
	<-p.done
}

// Signal sends sig to the process.
func (p *Process) Signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits up to d for the end and returns its error, as exec.Cmd.Wait.
func (p *Process) Wait(d time.Duration) error {
	if !p.Exited() {
		select {
		case <-p.done:
		case <-time.After(d):
			return fmt.Errorf("still running after %v", d)
		}
	}
	return p.err
}

// Exited reports whether the process has ended.
func (p *Process) Exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Output returns the last 256 KiB of what the process wrote.
func (p *Process) Output() string { return p.out.String() }

// tail keeps the last max bytes written.
type tail struct {
	max int

	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *tail) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(b)
	if over := w.buf.Len() - w.max; over > 0 {
		w.buf.Next(over)
	}
	return len(b), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// freePort returns a TCP port of 127.0.0.1 below the range from which the kernel
// draws ports for outgoing connections, so that none takes it between a Kill and
// a Restart; also is another port, at a distance, that must be free as well
// (0: none).
func freePort(also int) (int, error) {
	for range 200 {
		port := 10_000 + rand.IntN(11_000)
		if listenable(port) && (also == 0 || listenable(port+also)) {
			return port, nil
		}
	}
	return 0, errors.New("no free port between 10000 and 21000")
}

func listenable(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

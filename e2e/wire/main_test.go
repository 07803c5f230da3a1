//go:build linux

package wire

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
)

const (
	// roleEnv makes this binary one of the servers.
	roleEnv = "RONDO_WIRE_ROLE"
	// profileEnv is a folder where servers leave profiles of CPU and allocations.
	profileEnv = "RONDO_WIRE_PROFILE"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		if err := profiled(role, func() error { return serve(role, os.Stdin, os.Stdout) }); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// profiled runs f, under a profiler if one is asked for.
func profiled(role string, f func() error) error {
	dir := os.Getenv(profileEnv)
	if dir == "" {
		return f()
	}
	out, err := os.Create(filepath.Join(dir, role+".cpu"))
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	err = f()
	pprof.StopCPUProfile()
	allocs, no := os.Create(filepath.Join(dir, role+".allocs"))
	if no != nil {
		return errors.Join(err, out.Close(), no)
	}
	return errors.Join(err, out.Close(), pprof.Lookup("allocs").WriteTo(allocs, 0), allocs.Close())
}

// used is what a server has used since it began.
type used struct {
	Addr    string // where it listens
	CPU     time.Duration
	Mallocs uint64
	Bytes   uint64 // allocated
	Writes  uint64 // system calls
}

// serve is the life of a server: for each line that it reads it writes what it has used.
func serve(role string, in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	run := map[string]func(net.Listener) error{"rondo": serveRondo, "relay": serveRelay, "topic": serveTopic, "broadcast": serveBroadcast}[role]
	if run == nil {
		return fmt.Errorf("no such role")
	}
	failed := make(chan error, 1)
	go func() { failed <- run(l) }()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for lines := bufio.NewScanner(in); lines.Scan(); {
			asked <- struct{}{}
		}
	}()
	for {
		select {
		case _, ok := <-asked:
			if !ok {
				return nil
			}
			if err := json.NewEncoder(out).Encode(usedNow(l.Addr().String())); err != nil {
				return err
			}
		case err := <-failed:
			return err
		}
	}
}

func usedNow(addr string) used {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails only for a wrong argument
	return used{Addr: addr, CPU: time.Duration(u.Utime.Nano() + u.Stime.Nano()), Mallocs: m.Mallocs, Bytes: m.TotalAlloc, Writes: writes()}
}

// writes is how often this process has called write(2): proc(5).
func writes() (n uint64) {
	raw, _ := os.ReadFile("/proc/self/io")
	_, rest, _ := strings.Cut(string(raw), "syscw: ")
	_, _ = fmt.Sscan(rest, &n) // where that is not told, it is 0
	return n
}

// server is a server's process.
type server struct {
	b    testing.TB
	addr string
	in   io.Writer
	out  *bufio.Scanner
}

// start starts a server.
func start(b testing.TB, role string) *server {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.Stderr = os.Stderr
	inR, in, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	out, outW, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout = inR, outW
	p := testenv.Start(b, cmd)
	inR.Close()
	outW.Close()
	b.Cleanup(func() {
		in.Close() // which ends it
		_ = p.Wait(5 * time.Second)
		out.Close()
	})
	s := &server{b: b, in: in, out: bufio.NewScanner(out)}
	s.addr = s.used().Addr
	return s
}

// used asks the server what it has used.
func (s *server) used() (u used) {
	s.b.Helper()
	if _, err := io.WriteString(s.in, "used\n"); err != nil {
		s.b.Fatal(err)
	}
	if !s.out.Scan() {
		s.b.Fatal("the server has ended")
	}
	if err := json.NewDecoder(strings.NewReader(s.out.Text())).Decode(&u); err != nil {
		s.b.Fatal(err)
	}
	return u
}

// cost is what f lets the server use.
func (s *server) cost(f func()) used {
	s.b.Helper()
	before := s.used()
	f()
	after := s.used()
	return used{CPU: after.CPU - before.CPU, Mallocs: after.Mallocs - before.Mallocs, Bytes: after.Bytes - before.Bytes, Writes: after.Writes - before.Writes}
}

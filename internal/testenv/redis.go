package testenv

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// RedisServer is a redis-server of a test. It keeps nothing: after Restart it is
// empty, as a Redis without persistence is.
type RedisServer struct {
	Addr string // host:port
	URL  string // redis://host:port/0

	t       testing.TB
	path    string
	dir     string
	port    int
	cluster bool
	extra   []string // further arguments
	env     []string // further environment
	proc    *Process
}

// clusterBus is the distance of the cluster bus port from the client port.
const clusterBus = 10_000

// Redis starts a redis-server on a free port of 127.0.0.1, without persistence,
// and stops it when the test ends.
func Redis(t testing.TB) *RedisServer {
	t.Helper()
	return newRedis(t, false)
}

// RedisAt is Redis on further addresses of this machine, too.
func RedisAt(t testing.TB, ips ...string) *RedisServer {
	t.Helper()
	return newRedis(t, false, append([]string{"--protected-mode", "no", "--bind", "127.0.0.1"}, ips...)...)
}

// RedisWith is Redis with a further environment.
func RedisWith(t testing.TB, env ...string) *RedisServer {
	t.Helper()
	return begin(&RedisServer{t: t, env: env})
}

// Port is where it listens.
func (s *RedisServer) Port() int { return s.port }

func newRedis(t testing.TB, cluster bool, extra ...string) *RedisServer {
	t.Helper()
	return begin(&RedisServer{t: t, cluster: cluster, extra: extra})
}

func begin(s *RedisServer) *RedisServer {
	t := s.t
	t.Helper()
	s.path, s.dir = Need(t, "redis-server"), t.TempDir()
	t.Cleanup(s.Kill)
	var err error
	for range 5 { // another process may take the port between our look and Redis' bind
		if s.port, err = s.pickPort(); err != nil {
			continue
		}
		if err = s.start(); err == nil {
			s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
			s.URL = "redis://" + s.Addr + "/0"
			return s
		}
	}
	t.Fatalf("redis-server: %v", err)
	return nil
}

func (s *RedisServer) pickPort() (int, error) {
	if s.cluster {
		return freePort(clusterBus)
	}
	return freePort(0)
}

// start runs the server and returns when it answers, and it is ours that does.
func (s *RedisServer) start() error {
	args := []string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--databases", "2",
	}
	if s.cluster {
		args = append(args, "--cluster-enabled", "yes", "--cluster-config-file", fmt.Sprintf("nodes-%d.conf", s.port),
			"--cluster-node-timeout", "2000", "--cluster-port", strconv.Itoa(s.port+clusterBus))
	}
	cmd := exec.Command(s.path, append(args, s.extra...)...)
	if s.env != nil {
		cmd.Env = append(os.Environ(), s.env...)
	}
	proc, err := startProcess(cmd)
	if err != nil {
		return err
	}
	s.proc = proc
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	ready := func() bool {
		info, err := command(addr, "INFO", "server")
		return err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", proc.PID()))
	}
	poll(15*time.Second, func() bool { return proc.Exited() || ready() })
	if !proc.Exited() && ready() {
		return nil
	}
	proc.Kill()
	return fmt.Errorf("port %d: not ready: %s", s.port, proc.Output())
}

// Kill ends the server with SIGKILL, as a crash would.
func (s *RedisServer) Kill() {
	if s.proc != nil {
		s.proc.Kill()
	}
}

// Stall stops the server where it stands (SIGSTOP): it holds its connections,
// takes new ones and answers nothing, until Continue.
func (s *RedisServer) Stall() { s.signal(syscall.SIGSTOP) }

// Continue ends a Stall.
func (s *RedisServer) Continue() { s.signal(syscall.SIGCONT) }

func (s *RedisServer) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.proc.Signal(sig); err != nil {
		s.t.Fatalf("redis-server: %v: %v", sig, err)
	}
}

// Restart ends the server and starts it again, empty, at the same address.
func (s *RedisServer) Restart() {
	s.t.Helper()
	s.Kill()
	var err error
	for range 5 {
		if err = s.start(); err == nil {
			return
		}
	}
	s.t.Fatalf("redis-server did not come back: %v", err)
}

// Ping returns nil if the server answers PING.
func (s *RedisServer) Ping() error {
	got, err := s.Do("PING")
	if err == nil && got != "PONG" {
		err = fmt.Errorf("PING answered %q", got)
	}
	return err
}

// Do sends one command on a connection of its own and returns its reply: strings
// and integers as text, arrays as one line an element.
func (s *RedisServer) Do(args ...string) (string, error) { return command(s.Addr, args...) }

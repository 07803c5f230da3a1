package turnload

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Server is a TURN server that is to be loaded.
type Server struct {
	Name   string
	Addr   netip.AddrPort // where it takes UDP, on IPv4
	PID    int            // of the process whose CPU time and memory count
	Secret string         // its static-auth secret
}

// CoturnArgs are the arguments for a coturn that listens there, with one relay thread,
// whose relays may reach this machine.
func CoturnArgs(at netip.AddrPort, secret, dir string) []string {
	return []string{
		"-n", "-m", "1", "-L", at.Addr().String(), "-E", at.Addr().String(), "-p", strconv.Itoa(int(at.Port())),
		"--realm", "rondo", "--use-auth-secret", "--static-auth-secret", secret,
		"--allow-loopback-peers", "--no-cli", "--no-tls", "--no-dtls", "--no-software-attribute",
		"--min-port", "20000", "--max-port", "29999",
		"--log-file", filepath.Join(dir, "coturn.log"), "--simple-log",
		"--pidfile", filepath.Join(dir, "coturn.pid"), "--userdb", filepath.Join(dir, "coturn.db"),
	}
}

// RondoArgs are the arguments for the same of ours.
func RondoArgs(at netip.AddrPort, secretFile, dir string) []string {
	return []string{
		"-roles", "turn", "-metrics-listen", "127.0.0.1:0", "-listen", "127.0.0.1:0", "-data", dir, "-secret-file", filepath.Join(dir, "secret"),
		"-turn-listen", at.String(), "-turn-external-ip", at.Addr().String(), "-turn-allow", "127.0.0.0/8",
		"-turn-relay-ports", "30000-39999", "-turn-secret-files", secretFile, "-turn-realm", "rondo",
		"-turn-bandwidth", "100000000",
	}
}

// cpu is how long the threads of the process have run, in the kernel too.
func (s Server) cpu() (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.PID))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("turnload: %s: no process %d in /proc", s.Name, s.PID)
	}
	var sum time.Duration
	for _, name := range files {
		text, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // a thread that ended
		}
		ran, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("turnload: %s: %w", name, err)
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// rss is the process's resident memory in bytes.
func (s Server) rss() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID))
	if err != nil {
		return 0, fmt.Errorf("turnload: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("turnload: no VmRSS")
}

// Memory makes so many allocations with a channel each, and returns the bytes of
// resident memory that each has added. The server must not have had any before.
func Memory(s Server, allocations int) (float64, error) {
	before, err := s.rss()
	if err != nil {
		return 0, err
	}
	for i := range allocations {
		c, err := newClient(s.Addr, netip.AddrPortFrom(clientAddr(2, i/clientsPerIP), 0), s.Secret, fmt.Sprint("m", i))
		if err != nil {
			return 0, fmt.Errorf("turnload: client %d: %w", i, err)
		}
		err = c.bind(channelPeer, netip.AddrPortFrom(loopback, 40000))
		defer c.sock.close() // all at the end: the system would give a port again
		if err != nil {
			return 0, fmt.Errorf("turnload: client %d: %w", i, err)
		}
	}
	after, err := s.rss()
	return float64(after-before) / float64(allocations), err
}

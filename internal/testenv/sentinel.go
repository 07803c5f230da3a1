package testenv

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Sentinel is a Redis master with one replica, and three sentinels that make the
// replica the master about two seconds after the master stopped answering.
type Sentinel struct {
	URL     string // redis+sentinel://a?addr=b&addr=c&master_name=…
	Servers []*RedisServer

	t         testing.TB
	sentinels []string // addresses
}

const (
	masterName = "rondo"
	downAfter  = time.Second // less, and a busy machine looks like a dead one
)

// RedisSentinel starts it on free ports of 127.0.0.1, without persistence, and
// stops it when the test ends.
func RedisSentinel(t testing.TB) *Sentinel {
	t.Helper()
	master := newRedis(t, false)
	host, port, _ := net.SplitHostPort(master.Addr) // it was joined
	s := &Sentinel{t: t, Servers: []*RedisServer{master, newRedis(t, false, "--replicaof", host, port)}}
	replicates := func() bool {
		info, err := master.Do("INFO", "replication")
		return err == nil && strings.Contains(info, "state=online")
	}
	Eventually(t, 30*time.Second, replicates, "the replica follows its master")
	for range 3 {
		s.sentinels = append(s.sentinels, startSentinel(t, host, port))
	}
	// Sentinels learn of each other through the master, every two seconds.
	Eventually(t, 30*time.Second, s.agreed, "the sentinels know each other and the replica")
	s.URL = fmt.Sprintf("redis+sentinel://%s?addr=%s&addr=%s&master_name=%s", s.sentinels[0], s.sentinels[1], s.sentinels[2], masterName)
	return s
}

// startSentinel starts a sentinel and returns its address.
func startSentinel(t testing.TB, host, port string) string {
	t.Helper()
	var err error
	for range 5 { // another process may take the port between our look and its bind
		var own int
		if own, err = freePort(0); err != nil {
			continue
		}
		file := filepath.Join(t.TempDir(), "sentinel.conf") // it writes there what it learns
		conf := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor %[3]s %s %s 2\nsentinel down-after-milliseconds %[3]s %[6]d\n"+
			"sentinel failover-timeout %[3]s 2000\n", own, filepath.Dir(file), masterName, host, port, downAfter.Milliseconds())
		if err = os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		p := Start(t, exec.Command(Need(t, "redis-server"), file, "--sentinel"))
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(own))
		answers := func() bool { _, err := command(addr, "PING"); return err == nil }
		poll(15*time.Second, func() bool { return p.Exited() || answers() })
		if !p.Exited() && answers() {
			return addr
		}
		err = errors.New(p.Output())
		p.Kill()
	}
	t.Fatalf("redis-server --sentinel: %v", err)
	return ""
}

// agreed reports whether each sentinel sees the others and the replica.
func (s *Sentinel) agreed() bool {
	for _, addr := range s.sentinels {
		got, err := command(addr, "SENTINEL", "MASTER", masterName)
		if err != nil || !strings.Contains(got, "num-other-sentinels\n2\n") || !strings.Contains(got, "num-slaves\n1\n") {
			return false
		}
	}
	return true
}

// Master returns the server that most sentinels name as the master and that is
// one by its own account, or nil while that is nobody.
func (s *Sentinel) Master() *RedisServer { return s.masterBut(nil) }

// masterBut is Master, if it is not old, which is not asked: it may be stalled.
func (s *Sentinel) masterBut(old *RedisServer) *RedisServer {
	votes := map[string]int{}
	for _, addr := range s.sentinels {
		if got, err := command(addr, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName); err == nil {
			votes[strings.Replace(got, "\n", ":", 1)]++
		}
	}
	for _, server := range s.Servers {
		if server != old && 2*votes[server.Addr] > len(s.sentinels) && server.isMaster() {
			return server
		}
	}
	return nil
}

// AtRest returns the address of the master, if all sentinels name the same one, and its
// replica follows it. It asks no server but that master, since another may be stalled.
func (s *Sentinel) AtRest() (master string, ok bool) {
	for _, addr := range s.sentinels {
		m, err := command(addr, "SENTINEL", "MASTER", masterName)
		if err != nil || field(m, "flags") != "master" {
			return "", false
		}
		r, err := command(addr, "SENTINEL", "REPLICAS", masterName)
		if err != nil || field(r, "flags") != "slave" || field(r, "master-link-status") != "ok" {
			return "", false
		}
		at := net.JoinHostPort(field(m, "ip"), field(m, "port"))
		if master != "" && at != master {
			return "", false
		}
		master = at
	}
	info, err := command(master, "INFO", "replication")
	return master, err == nil && strings.Contains(info, "role:master") && strings.Contains(info, "state=online")
}

// field returns the value that stands under a name in a reply of names and values.
func field(reply, name string) string {
	_, rest, _ := strings.Cut("\n"+reply, "\n"+name+"\n")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

// AwaitRest waits until all is as AtRest says. It makes a server that was the master
// before, and thinks that it still is, a replica, as its configuration file would where it was started
// again: by themselves the sentinels do so after eight seconds, and until then an empty server may
// be made the master.
func (s *Sentinel) AwaitRest() {
	s.t.Helper()
	Eventually(s.t, 30*time.Second, func() bool {
		if _, ok := s.AtRest(); ok {
			return true
		}
		s.demote()
		return false
	}, "the replica follows its master")
}

// demote makes servers replicas that are masters by their own account only.
func (s *Sentinel) demote() {
	master := ""
	for _, addr := range s.sentinels {
		m, err := command(addr, "SENTINEL", "MASTER", masterName)
		at := net.JoinHostPort(field(m, "ip"), field(m, "port"))
		if err != nil || field(m, "flags") != "master" || master != "" && at != master {
			return
		}
		master = at
	}
	for _, server := range s.Servers {
		if server.Addr != master && server.isMaster() {
			host, port, _ := net.SplitHostPort(master) // it was joined
			_, _ = server.Do("REPLICAOF", host, port)  // else the next time
		}
	}
}

func (s *RedisServer) isMaster() bool {
	info, err := s.Do("INFO", "replication")
	return err == nil && strings.Contains(info, "role:master")
}

// KillMaster ends the master with SIGKILL and returns it.
func (s *Sentinel) KillMaster() *RedisServer {
	s.t.Helper()
	m := s.needMaster()
	m.Kill()
	return m
}

// StallMaster stops the master where it stands (SIGSTOP) and returns it; its
// Continue wakes it, and the sentinels make a replica of it then.
func (s *Sentinel) StallMaster() *RedisServer {
	s.t.Helper()
	m := s.needMaster()
	m.Stall()
	return m
}

func (s *Sentinel) needMaster() *RedisServer {
	s.t.Helper()
	var m *RedisServer
	Eventually(s.t, 30*time.Second, func() bool { m = s.Master(); return m != nil }, "there is a master")
	return m
}

// AwaitFailover waits until another server than old is the master.
func (s *Sentinel) AwaitFailover(old *RedisServer) *RedisServer {
	s.t.Helper()
	var m *RedisServer
	Eventually(s.t, 30*time.Second, func() bool { m = s.masterBut(old); return m != nil }, "the sentinels make another master")
	return m
}

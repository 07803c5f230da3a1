package testenv

import (
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestRedis(t *testing.T) {
	s := Redis(t)
	if err := s.Ping(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Do("SET", "k", "v"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Do("GET", "k"); got != "v" || err != nil {
		t.Fatalf("GET: %q, %v", got, err)
	}
	s.Kill()
	if s.Ping() == nil {
		t.Fatal("answers after Kill")
	}
	s.Restart()
	if got, err := s.Do("GET", "k"); got != "" || err != nil {
		t.Fatalf("GET after Restart: %q, %v, want nothing", got, err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, "*.rdb")); len(left) > 0 {
		t.Fatalf("wrote %v", left)
	}
}

func TestRedisServersAtOnce(t *testing.T) {
	for range 6 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			if err := Redis(t).Ping(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestRedisCluster(t *testing.T) {
	c := RedisCluster(t)
	if len(c.Addrs) != 3 {
		t.Fatalf("%d nodes", len(c.Addrs))
	}
	// One key is served by exactly one of the three; the others say who.
	served := 0
	for _, n := range c.Nodes {
		if _, err := n.Do("SET", "{room}:1", "x"); err == nil {
			served++
		}
	}
	if served != 1 {
		t.Fatalf("%d nodes took the key, want 1", served)
	}
}

func TestRedisClusterReplicated(t *testing.T) {
	c := RedisClusterReplicated(t)
	var master *RedisServer
	for _, n := range c.Masters() {
		if _, err := n.Do("SET", "{room}:1", "x"); err == nil {
			master = n
		}
	}
	if master == nil {
		t.Fatal("no node took the key")
	}
	copied(t, master)
	master.Kill()
	c.AwaitFailover(master)
	got := ""
	for _, n := range c.mastersBut(master) {
		if v, err := n.Do("GET", "{room}:1"); err == nil {
			got = v
		}
	}
	if got != "x" {
		t.Errorf("the new master has %q", got)
	}
	master.Restart()
	c.AwaitReplicas()
	if master.isMaster() {
		t.Error("who comes back is a master again")
	}
}

// copied waits until the replica has confirmed all that the master has.
func copied(t *testing.T, master *RedisServer) {
	t.Helper()
	Eventually(t, 10*time.Second, func() bool {
		info, err := master.Do("INFO", "replication")
		_, offset, _ := strings.Cut(info, "master_repl_offset:")
		offset, _, _ = strings.Cut(offset, "\r\n")
		return err == nil && strings.Contains(info, ",offset="+offset+",")
	}, "the replica has what the master has")
}

func TestProcess(t *testing.T) {
	p := Start(t, exec.Command("sh", "-c", "echo hello; exit 3"))
	if err := p.Wait(10 * time.Second); err == nil {
		t.Fatal("exit status 3 is no error")
	}
	if p.Output() != "hello\n" || !p.Exited() {
		t.Fatalf("output %q, exited %v", p.Output(), p.Exited())
	}
	q := Start(t, exec.Command("sleep", "600"))
	q.Kill()
	q.Kill()
}

func TestEventually(t *testing.T) {
	var n atomic.Int32
	Eventually(t, 5*time.Second, func() bool { return n.Add(1) == 5 }, "five calls")
	if poll(20*time.Millisecond, func() bool { return false }) {
		t.Fatal("a condition that never holds held")
	}
}

func TestRedisSentinel(t *testing.T) {
	s := RedisSentinel(t)
	first := s.Master()
	if first != s.Servers[0] {
		t.Fatal("the first server is not the master")
	}
	if _, err := first.Do("SET", "k", "v"); err != nil {
		t.Fatal(err)
	}
	copied(t, first)
	if old := s.KillMaster(); old != first {
		t.Fatal("another one was killed")
	}
	second := s.AwaitFailover(first)
	if got, err := second.Do("GET", "k"); got != "v" || err != nil {
		t.Errorf("the replica has %q, %v", got, err)
	}
	if m, ok := s.AtRest(); ok {
		t.Errorf("at rest under %s without a replica", m)
	}
	first.Restart()
	s.AwaitRest()
	if m, ok := s.AtRest(); !ok || m != second.Addr {
		t.Errorf("at rest %t under %s", ok, m)
	}
}

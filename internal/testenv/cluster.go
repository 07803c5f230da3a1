package testenv

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Cluster is a Redis Cluster of three masters that share the slots evenly, with a
// replica each or without.
type Cluster struct {
	Addrs []string // host:port of each node
	URL   string   // redis://a?addr=b&addr=c, as go-redis' ParseClusterURL takes it
	Nodes []*RedisServer

	t testing.TB
}

// masters is how many masters a Cluster has.
const masters = 3

// RedisCluster starts three redis-servers on free ports of 127.0.0.1, makes one
// cluster of masters without replicas of them, and stops them when the test ends.
func RedisCluster(t testing.TB) *Cluster {
	t.Helper()
	return newCluster(t, masters)
}

// RedisClusterReplicated is RedisCluster with a replica for each master, which
// takes its place two to four seconds after it stopped answering.
func RedisClusterReplicated(t testing.TB) *Cluster {
	t.Helper()
	c := newCluster(t, 2*masters, "--repl-diskless-sync-delay", "0", "--cluster-allow-replica-migration", "no")
	c.AwaitReplicas()
	return c
}

func newCluster(t testing.TB, nodes int, extra ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	for range nodes {
		n := newRedis(t, true, extra...)
		c.Nodes = append(c.Nodes, n)
		c.Addrs = append(c.Addrs, n.Addr)
	}
	c.URL = "redis://" + c.Addrs[0] + "?addr=" + strings.Join(c.Addrs[1:], "&addr=")
	if err := c.join(); err != nil {
		t.Fatalf("redis cluster: %v", err)
	}
	return c
}

const slots = 16_384

// join does what `redis-cli --cluster create` does, in a fraction of its time.
func (c *Cluster) join() error {
	for i, n := range c.Nodes {
		if _, err := n.Do("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1)); err != nil {
			return err
		}
	}
	for i, n := range c.Nodes[:masters] {
		first, last := i*slots/masters, (i+1)*slots/masters-1
		if _, err := n.Do("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last)); err != nil {
			return err
		}
	}
	for _, n := range c.Nodes[1:] {
		if _, err := c.Nodes[0].Do("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(n.port)); err != nil {
			return err
		}
	}
	if !poll(30*time.Second, c.agreed) {
		info, err := c.Nodes[0].Do("CLUSTER", "INFO")
		return fmt.Errorf("no agreement within 30 s: %s %v", info, err)
	}
	for i, n := range c.Nodes[masters:] {
		id, err := c.Nodes[i].Do("CLUSTER", "MYID")
		if err != nil {
			return err
		}
		if _, err := n.Do("CLUSTER", "REPLICATE", id); err != nil {
			return err
		}
	}
	return nil
}

// Masters returns the nodes that are masters by their own account.
func (c *Cluster) Masters() []*RedisServer { return c.mastersBut(nil) }

// mastersBut is Masters without old, which is not asked: it may be stalled.
func (c *Cluster) mastersBut(old *RedisServer) []*RedisServer {
	var found []*RedisServer
	for _, n := range c.Nodes {
		if n != old && n.isMaster() {
			found = append(found, n)
		}
	}
	return found
}

// AwaitFailover waits until replicas are in the place of old, which was killed or
// stalled, and the others agree.
func (c *Cluster) AwaitFailover(old *RedisServer) {
	c.t.Helper()
	Eventually(c.t, 30*time.Second, func() bool {
		return len(c.mastersBut(old)) == masters && c.agreedBut(old)
	}, "a replica takes the master's place")
}

// AwaitReplicas waits until there are three masters, each with a replica that has
// what the master has.
func (c *Cluster) AwaitReplicas() {
	c.t.Helper()
	Eventually(c.t, 30*time.Second, func() bool { _, ok := c.AtRest(); return ok && c.agreed() }, "each master has a replica")
}

// AtRest returns the addresses of the masters, if there are three and each has a
// replica that follows it.
func (c *Cluster) AtRest() (found string, ok bool) {
	n := 0
	for _, s := range c.Nodes {
		info, err := s.Do("INFO", "replication")
		if err == nil && strings.Contains(info, "role:master") && strings.Contains(info, "state=online") {
			n++
			found += s.Addr + " "
		}
	}
	return found, n == masters
}

// agreed reports whether every node sees all nodes and all slots served.
func (c *Cluster) agreed() bool { return c.agreedBut(nil) }

// agreedBut is agreed without old, which is not asked.
func (c *Cluster) agreedBut(old *RedisServer) bool {
	for _, n := range c.Nodes {
		if n == old {
			continue
		}
		info, err := n.Do("CLUSTER", "INFO")
		if err != nil || !strings.Contains(info, "cluster_state:ok") ||
			!strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", len(c.Nodes))) ||
			!strings.Contains(info, fmt.Sprintf("cluster_size:%d\r", masters)) {
			return false
		}
	}
	return true
}

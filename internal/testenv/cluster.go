package testenv

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Cluster is a Redis Cluster of three masters without replicas, that share the
// slots evenly.
type Cluster struct {
	Addrs []string // host:port of each node
	URL   string   // redis://a?addr=b&addr=c, as go-redis' ParseClusterURL takes it
	Nodes []*RedisServer
}

// RedisCluster starts three redis-servers on free ports of 127.0.0.1, makes one
// cluster of them, and stops them when the test ends.
func RedisCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{}
	for range 3 {
		n := newRedis(t, true)
		c.Nodes = append(c.Nodes, n)
		c.Addrs = append(c.Addrs, n.Addr)
	}
	c.URL = fmt.Sprintf("redis://%s?addr=%s&addr=%s", c.Addrs[0], c.Addrs[1], c.Addrs[2])
	if err := c.join(); err != nil {
		t.Fatalf("redis cluster: %v", err)
	}
	return c
}

const slots = 16_384

// join does what `redis-cli --cluster create` does, in a fraction of its time.
func (c *Cluster) join() error {
	for i, n := range c.Nodes {
		first, last := i*slots/len(c.Nodes), (i+1)*slots/len(c.Nodes)-1
		if _, err := n.Do("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last)); err != nil {
			return err
		}
		if _, err := n.Do("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1)); err != nil {
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
	return nil
}

// agreed reports whether every node sees all nodes and all slots served.
func (c *Cluster) agreed() bool {
	for _, n := range c.Nodes {
		info, err := n.Do("CLUSTER", "INFO")
		if err != nil || !strings.Contains(info, "cluster_state:ok") ||
			!strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", len(c.Nodes))) ||
			!strings.Contains(info, fmt.Sprintf("cluster_size:%d\r", len(c.Nodes))) {
			return false
		}
	}
	return true
}

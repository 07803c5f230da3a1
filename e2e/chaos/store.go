package chaos

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// store is the Redis that the nodes share.
type store interface {
	url(node int) string
	restart(between func())  // kill the (a) master and start it again, empty
	pid() (int, error)       // of the (a) master
	well()                   // waits until all of it serves again
	way(node int) *lab.Proxy // between the node and the store; nil: there is none
}

// one is a single Redis, which each node reaches by a way of its own.
type one struct {
	redis *testenv.RedisServer
	ways  map[int]*lab.Proxy
	t     testing.TB
}

func single(t testing.TB) store {
	return &one{redis: testenv.Redis(t), ways: map[int]*lab.Proxy{}, t: t}
}

func (s *one) url(node int) string {
	if s.ways[node] == nil {
		s.ways[node] = lab.NewProxy(s.t, s.redis.Addr)
	}
	return "redis://" + s.ways[node].Addr() + "/0"
}

func (s *one) way(node int) *lab.Proxy { return s.ways[node] }

func (s *one) restart(between func()) {
	s.redis.Kill()
	between()
	s.redis.Restart()
}

func (s *one) well() {}

func (s *one) pid() (int, error) { return pidOf(s.redis) }

// away is one Redis that nodes reach over a network.
type away struct {
	one
	net *lab.Split
}

func apart(n *lab.Split) func(testing.TB) store {
	return func(t testing.TB) store {
		var ips []string
		for _, node := range n.Nodes {
			ips = append(ips, node.RedisIP)
		}
		return &away{one{redis: testenv.RedisAt(t, ips...), t: t}, n}
	}
}

func (s *away) url(node int) string {
	return fmt.Sprintf("redis://%s:%d/0", s.net.Nodes[node].RedisIP, s.redis.Port())
}

// timed is one Redis with a clock that can be set.
func timed(c *lab.Clock) func(testing.TB) store {
	return func(t testing.TB) store {
		return &one{redis: testenv.RedisWith(t, c.Env(), lab.PreloadClock(t)), ways: map[int]*lab.Proxy{}, t: t}
	}
}

// pidOf asks a Redis for its process id.
func pidOf(r *testenv.RedisServer) (int, error) {
	info, err := r.Do("INFO", "server")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(info, "process_id:")
	pid, _, _ := strings.Cut(rest, "\r\n")
	return strconv.Atoi(pid)
}

// cluster is three masters with a replica each. Redirections carry the servers'
// own addresses, so that there is no way between to partition.
type cluster struct {
	*testenv.Cluster
	t    testing.TB
	next int
}

func clustered(t testing.TB) store {
	return &cluster{Cluster: testenv.RedisClusterReplicated(t), t: t}
}

func (s *cluster) url(int) string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return fmt.Sprint(err)
	}
	u.Scheme = "redis+cluster"
	return u.String()
}

func (s *cluster) way(int) *lab.Proxy { return nil }

// restart is sooner than the replica: the master is back before it is missed.
func (s *cluster) restart(between func()) {
	n := s.master()
	n.Kill()
	between()
	n.Restart()
	s.well()
}

// lose kills a master, and its replica takes the place; it comes back as a replica.
func (s *cluster) lose(between func()) {
	n := s.master()
	n.Kill()
	s.AwaitFailover(n)
	between()
	n.Restart()
	s.well()
}

// well waits until the masters agree: as long as they do not, it is as good as dead.
func (s *cluster) well() { s.AwaitReplicas() }

// master is one master after the other.
func (s *cluster) master() *testenv.RedisServer {
	var all []*testenv.RedisServer
	testenv.Eventually(s.t, 30*time.Second, func() bool { all = s.Masters(); return len(all) > 0 }, "there are masters")
	s.next++
	return all[s.next%len(all)]
}

func (s *cluster) pid() (int, error) { return pidOf(s.master()) }

// watched is a master and a replica under three sentinels: restart is a fail-over,
// after which the former master comes back as the replica.
type watched struct {
	*testenv.Sentinel
	t testing.TB
}

func sentinels(t testing.TB) store { return &watched{testenv.RedisSentinel(t), t} }

func (s *watched) url(int) string { return s.URL }

func (s *watched) way(int) *lab.Proxy { return nil }

func (s *watched) restart(between func()) {
	old := s.KillMaster()
	between()
	s.AwaitFailover(old)
	old.Restart()
	s.AwaitRest()
}

// well also waits for the replica: to lose the master before it follows is two faults
// at once.
func (s *watched) well() {
	s.AwaitRest()
}

func (s *watched) pid() (int, error) { return pidOf(s.Master()) }

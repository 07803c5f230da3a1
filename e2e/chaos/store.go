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

// cluster is three masters without replicas. Redirections carry the masters' own
// addresses, so that there is no way between to partition.
type cluster struct {
	*testenv.Cluster
	t    testing.TB
	next int
}

func clustered(t testing.TB) store { return &cluster{Cluster: testenv.RedisCluster(t), t: t} }

func (s *cluster) url(int) string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return fmt.Sprint(err)
	}
	u.Scheme = "redis+cluster"
	return u.String()
}

func (s *cluster) way(int) *lab.Proxy { return nil }

func (s *cluster) restart(between func()) {
	s.next++
	n := s.Nodes[s.next%len(s.Nodes)]
	n.Kill()
	between()
	n.Restart()
	s.well()
}

// well waits until the masters agree: as long as they do not, it is as good as dead.
func (s *cluster) well() {
	for _, n := range s.Nodes {
		testenv.Eventually(s.t, 30*time.Second, func() bool {
			info, err := n.Do("CLUSTER", "INFO")
			return err == nil && strings.Contains(info, "cluster_state:ok")
		}, "the cluster is well again")
	}
}

func (s *cluster) pid() (int, error) {
	s.next++
	return pidOf(s.Nodes[s.next%len(s.Nodes)])
}

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

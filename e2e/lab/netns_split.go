package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Split is a network whose nodes are on machines of their own, with one way to the
// users and another one to Redis, which is outside. What goes either way can be
// lost, without a word to anybody.
//
//	users - public net - node 0 - Redis
//	                   \ node 1 /
type Split struct {
	Nodes []SplitNode

	net *netns
}

// SplitNode is the place of a node.
type SplitNode struct {
	Netns   string // to run it in
	IP      string // where the users reach it
	RedisIP string // where Redis has to listen for it
}

// Way is a way of a node.
type Way string

// The ways.
const (
	ToUsers Way = "pub0"
	ToRedis Way = "redis0"
)

// NewSplit makes the network; it goes with the test. It needs root.
func NewSplit(t testing.TB, nodes int) *Split {
	t.Helper()
	names := []string{"usr"}
	for i := range nodes {
		names = append(names, splitName(i))
	}
	n := newNetns(t, names...)
	n.onBridge("usr", "11.0.0.1/24")
	n.run("usr", "ip route add local 11.1.0.0/16 dev lo") // each user has an address
	s := &Split{net: n}
	for i := range nodes {
		name := splitName(i)
		p := SplitNode{Netns: n.id + name, IP: fmt.Sprintf("11.0.0.%d", 2+i), RedisIP: fmt.Sprintf("198.18.%d.1", i)}
		n.onBridge(name, p.IP+"/24")
		n.run(name, "ip route add 11.1.0.0/16 via 11.0.0.1")
		dev := fmt.Sprintf("r%d-%d", i, os.Getpid())                           // it goes with the namespace, which may live a little longer than its name
		t.Cleanup(func() { _ = exec.Command(n.ip, "link", "del", dev).Run() }) // gone already: fine
		n.exec(n.ip, "link", "add", dev, "type", "veth", "peer", "name", string(ToRedis), "netns", p.Netns)
		n.exec(n.ip, "addr", "add", p.RedisIP+"/30", "dev", dev)
		n.exec(n.ip, "link", "set", dev, "up")
		n.run(name, fmt.Sprintf("ip addr add 198.18.%d.2/30 dev %s", i, ToRedis))
		n.run(name, fmt.Sprintf("ip link set %s up", ToRedis))
		s.Nodes = append(s.Nodes, p)
	}
	return s
}

func splitName(node int) string { return "n" + strconv.Itoa(node) }

// Lose drops all packets of a node on one of its ways from now on, until Pass.
func (s *Split) Lose(node int, way Way) error {
	rules := fmt.Sprintf("table ip lost-%[1]s {\n"+
		"chain in { type filter hook input priority 0; iifname %[1]s drop; }\n"+
		"chain out { type filter hook output priority 0; oifname %[1]s drop; }\n}\n", way)
	file := filepath.Join(s.net.t.TempDir(), "lost.nft")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		return err
	}
	return s.rule(node, "-f", file)
}

// Pass ends what Lose began.
func (s *Split) Pass(node int, way Way) error {
	return s.rule(node, "delete", "table", "ip", "lost-"+string(way))
}

func (s *Split) rule(node int, args ...string) error {
	out, err := exec.Command(s.net.ip, append([]string{"netns", "exec", s.Nodes[node].Netns, s.net.nft}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}

// DialFrom is the package's DialFrom in this network.
func (s *Split) DialFrom(i int) func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(11, 1, byte(i/250), byte(i%250+1))}}
	return func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		inErr := enter(s.net.id+"usr", func() error {
			conn, err = d.DialContext(ctx, network, addr)
			return nil
		})
		if inErr != nil {
			return nil, inErr
		}
		return conn, err
	}
}

// enter runs f on a thread in a network namespace; sockets made there stay there.
func enter(name string, f func() error) (err error) {
	var done sync.WaitGroup
	done.Go(func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		var ns *os.File
		if ns, err = os.Open(filepath.Join("/run/netns", name)); err != nil {
			return
		}
		defer ns.Close()
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err == nil {
			err = f()
		}
	})
	done.Wait()
	return err
}

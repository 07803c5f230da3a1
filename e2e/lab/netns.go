package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rondo-chat/rondo/internal/testenv"
)

// NATs is a network of its own: two people, each behind a router that gives every
// connection another random port (only TURN works between them), and a server on
// the public side. The names are of network namespaces.
//
//	A - router A - public net - router B - B
//	                   |
//	                 Server
type NATs struct {
	A, B, Server string
	ServerIP     string // public, and reached from A and B

	net *netns
}

// netnsPrefix begins the name of every namespace of the lab; the process follows.
const netnsPrefix = "rondo"

// NewNATs makes the network; it goes with the test. It needs root.
func NewNATs(t testing.TB) *NATs {
	t.Helper()
	n := newNetns(t, "srv", "ra", "rb", "a", "b")
	n.onBridge("srv", "11.0.0.1/24")
	n.onBridge("ra", "11.0.0.2/24")
	n.onBridge("rb", "11.0.0.3/24")
	n.behind("a", "eth0", "ra", "192.168.1", symmetricNAT)
	n.behind("b", "eth0", "rb", "192.168.2", symmetricNAT)
	return &NATs{A: n.id + "a", B: n.id + "b", Server: n.id + "srv", ServerIP: "11.0.0.1", net: n}
}

// natKind is how a router translates, as nftables says it.
type natKind string

const (
	portKeepingNAT natKind = "masquerade" // a direct path can be made through it
	symmetricNAT   natKind = "masquerade random,fully-random"
)

type netns struct {
	t    testing.TB
	ip   string
	nft  string
	id   string
	made []string
}

// newNetns makes namespaces and, in "pub", the public net. The addresses there are
// public ones, so that TURN's peer policy meets what it meets in the world; the
// namespaces reach nothing else.
func newNetns(t testing.TB, names ...string) *netns {
	t.Helper()
	ip := testenv.Need(t, "ip")
	nft := testenv.Need(t, "nft")
	if os.Geteuid() != 0 {
		testenv.Missing(t, "network namespaces need root")
	}
	sweepNetns(ip)
	id := netnsPrefix + strconv.Itoa(os.Getpid()) + "-"
	n := &netns{t: t, ip: ip, nft: nft, id: id}
	if out, err := exec.Command(ip, "netns", "add", id+"probe").CombinedOutput(); err != nil {
		testenv.Missing(t, "network namespaces do not work here: %s", out)
	}
	t.Cleanup(n.remove)
	n.made = []string{id + "probe"}
	for _, name := range append([]string{"pub"}, names...) {
		n.add(name)
	}
	n.run("pub", "ip link add br0 type bridge")
	n.run("pub", "ip link set br0 up")
	return n
}

func (n *netns) add(name string) {
	n.t.Helper()
	n.exec(n.ip, "netns", "add", n.id+name)
	n.made = append(n.made, n.id+name)
	n.run(name, "ip link set lo up")
}

// run runs a command in a namespace.
func (n *netns) run(name, command string) {
	n.t.Helper()
	n.exec(n.ip, append([]string{"netns", "exec", n.id + name}, strings.Fields(command)...)...)
}

func (n *netns) exec(path string, args ...string) {
	n.t.Helper()
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s %s: %v\n%s", path, strings.Join(args, " "), err, out)
	}
}

// onBridge connects a namespace to the public net.
func (n *netns) onBridge(name, addr string) {
	n.t.Helper()
	n.run("pub", fmt.Sprintf("ip link add p-%s type veth peer name pub0 netns %s", name, n.id+name))
	n.run("pub", fmt.Sprintf("ip link set p-%s master br0 up", name))
	n.run(name, "ip addr add "+addr+" dev pub0")
	n.run(name, "ip link set pub0 up")
}

// behind connects a person's interface dev to a router.
func (n *netns) behind(name, dev, router, net string, nat natKind) {
	n.t.Helper()
	n.lan(name, dev, router, net, nat)
	n.attach(name, dev, net)
}

// attach gives an interface its address in net, and the way out.
func (n *netns) attach(name, dev, net string) {
	n.t.Helper()
	n.run(name, "ip addr add "+net+".2/24 dev "+dev)
	n.run(name, "ip link set "+dev+" up")
	n.run(name, "ip route replace default via "+net+".1")
}

// lan makes a router's side of a person's interface dev; that is down yet.
func (n *netns) lan(name, dev, router, net string, nat natKind) {
	n.t.Helper()
	n.run(router, fmt.Sprintf("ip link add lan0 type veth peer name %s netns %s", dev, n.id+name))
	n.run(router, "ip addr add "+net+".1/24 dev lan0")
	n.run(router, "ip link set lan0 up")
	n.run(router, "sysctl -qw net.ipv4.ip_forward=1")
	rules := n.t.TempDir() + "/nat.nft"
	err := os.WriteFile(rules, []byte(`table ip masq {
  chain out {
    type nat hook postrouting priority 100;
    oifname "pub0" `+string(nat)+`
  }
}
table ip wall {
  chain pass {
    type filter hook forward priority 0; policy drop;
    iifname "lan0" accept
    ct state established,related accept
  }
}
`), 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	n.run(router, n.nft+" -f "+rules)
}

func (n *netns) remove() {
	for _, name := range n.made {
		_ = exec.Command(n.ip, "netns", "del", name).Run() // gone already: fine
	}
}

// sweepNetns removes the namespaces of test processes that were killed.
func sweepNetns(ip string) {
	out, _ := exec.Command(ip, "netns", "list").Output() // none: fine
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest, ours := strings.CutPrefix(name, netnsPrefix)
		pid, err := strconv.Atoi(strings.SplitN(rest, "-", 2)[0])
		if ours && err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			_ = exec.Command(ip, "netns", "del", name).Run()
		}
	}
}

// NetnsWrapper returns a program that runs path in a namespace.
func NetnsWrapper(t testing.TB, name, path string) string {
	t.Helper()
	wrapper := filepath.Join(t.TempDir(), "in-"+name)
	script := fmt.Sprintf("#!/bin/sh\nexec %s netns exec %s %s \"$@\"\n", testenv.Need(t, "ip"), name, path)
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return wrapper
}

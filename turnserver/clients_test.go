package turnserver

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// TestUclient has coturn's load client relay through the server. It asks for
// EVEN-PORT unless told not to use RTCP (-c), and its peers are local.
func TestUclient(t *testing.T) {
	uclient := testenv.Need(t, "turnutils_uclient")
	peerd := testenv.Need(t, "turnutils_peer")
	secret := "a secret that coturn shares"
	s := testServer(t, func(c *Config) {
		noLimits(c)
		c.Secrets = []Secret{{Key: []byte(secret)}}
		c.Policy.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		c.Limits.Bandwidth = 1 << 30
		c.lastChannel = 0x7FFF
	})
	peerPort := startPeer(t, peerd)
	shareWithWeb(t, s)
	udp, tls, https := s.testAddr(t, overUDP).Port(), s.testAddr(t, overTLS).Port(), s.testAddr(t, overHTTPS).Port()
	type uclientRun struct {
		name  string
		port  uint16
		flags string
		out   chan string
	}
	runs := []uclientRun{
		{"udp channel", udp, "", make(chan string, 1)},
		{"udp send", udp, "-s", make(chan string, 1)},
		{"udp client to client", udp, "-y", make(chan string, 1)},
		{"udp client to client send", udp, "-y -s", make(chan string, 1)},
		{"udp extra requests", udp, "-G", make(chan string, 1)},
		{"udp explicit family", udp, "-X", make(chan string, 1)},
		{"udp mandatory padding", udp, "-D", make(chan string, 1)},
		{"udp random disconnect", udp, "-B", make(chan string, 1)},
		{"tcp channel", udp, "-t", make(chan string, 1)},
		{"tcp send", udp, "-t -s", make(chan string, 1)},
		{"tcp client to client", udp, "-t -y", make(chan string, 1)},
		{"tcp client to client send", udp, "-t -y -s", make(chan string, 1)},
		{"tls channel", tls, "-t -S", make(chan string, 1)},
		{"tls send", tls, "-t -S -s", make(chan string, 1)},
		{"tls client to client", tls, "-t -S -y", make(chan string, 1)},
		{"https channel", https, "-t -S", make(chan string, 1)},
	}
	for _, run := range runs { // all at once: each of them mostly waits
		go func() {
			flags := fmt.Sprintf("-c -n 20 -z 5 -m 2 -l 170 -u user -p %d -r %d -e 127.0.0.1 %s", run.port, peerPort, run.flags)
			run.out <- runUclient(t, uclient, secret, flags)
		}()
	}
	for _, run := range runs {
		t.Run(run.name, func(t *testing.T) {
			out := <-run.out
			if !strings.Contains(out, "tot_send_msgs") && !strings.Contains(out, "Total lost packets") {
				t.Fatalf("no report:\n%s", out)
			}
			if !strings.Contains(out, "Total lost packets 0 ") && !strings.Contains(run.flags, "-B") {
				t.Errorf("lost packets:\n%s", out)
			}
		})
	}
	t.Run("tcp relays are refused", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, uclient, "-T", "-n", "1", "-u", "user", "-W", secret, "-p", fmt.Sprint(udp), "127.0.0.1")
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("uclient -T ended well:\n%s", out)
		}
	})
}

func runUclient(t *testing.T, path, secret, flags string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	args := append(strings.Fields(flags), "-W", secret, "127.0.0.1")
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		t.Errorf("uclient %s: %v\n%s", flags, err, out)
	}
	return string(out)
}

// startPeer runs coturn's echo peer on a free port.
func startPeer(t *testing.T, path string) int {
	t.Helper()
	probe, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	port := probe.LocalAddr().(*net.UDPAddr).Port
	probe.Close()
	cmd := exec.Command(path, "-L", "127.0.0.1", "-p", fmt.Sprint(port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	testenv.Eventually(t, patience, func() bool { return echoes(port) }, "turnutils_peer does not echo")
	return port
}

func echoes(port int) bool {
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	defer c.Close()
	c.Write([]byte("hello"))
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err = c.Read(make([]byte, 10))
	return err == nil
}

// TestLeaks makes and closes a thousand allocations and looks for what is left.
func TestLeaks(t *testing.T) {
	s := testServer(t, noLimits)
	next := 0
	churn := func(n int) {
		for range n {
			next++
			i := next
			over := []transport{overUDP, overUDP, overUDP, overTCP}[i%4]
			w := newWire(t, s, over, fmt.Sprint(i))
			relay := w.allocated()
			w.must(methodChannelBind, peerOpt(relay.String()), channelOpt(0x4000))
			if i%3 == 0 {
				s.Revoke(protocolSession(i), 0)
			} else if over == overUDP {
				w.must(methodRefresh, addU32(attrLifetime, 0))
			}
			w.conn.Close()
		}
	}
	settled := func() bool { return s.Allocations() == 0 && s.conns.len() == 0 }
	churn(50)
	testenv.Eventually(t, patience, settled, "allocations left")
	goroutines, fds := runtime.NumGoroutine(), openFiles(t)
	churn(1000)
	testenv.Eventually(t, patience, settled, "allocations left")
	testenv.Eventually(t, patience, func() bool { return runtime.NumGoroutine() <= goroutines+3 }, "%d goroutines, were %d", runtime.NumGoroutine(), goroutines)
	testenv.Eventually(t, patience, func() bool { return openFiles(t) <= fds+3 }, "%d files, were %d", openFiles(t), fds)
	if free := s.freePorts(); free != s.cfg.RelayPorts.size() {
		t.Errorf("%d ports free of %d", free, s.cfg.RelayPorts.size())
	}
	if len(s.perUser.count)+len(s.perAddr.count) != 0 {
		t.Errorf("quotas held: %v %v", s.perUser.count, s.perAddr.count)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc")
	}
	return len(list)
}

func protocolSession(i int) protocol.SessionID { return protocol.SessionID(fmt.Sprint(i)) }

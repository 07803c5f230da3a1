package lab

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inNetns runs f on a thread in a network namespace; sockets made there stay there.
func inNetns(t *testing.T, name string, f func() error) {
	t.Helper()
	if err := enter(name, f); err != nil {
		t.Fatal(err)
	}
}

// TestNATs: both people reach the server, each destination sees another port of
// theirs, and neither reaches the other.
func TestNATs(t *testing.T) {
	n := NewNATs(t)
	var servers [2]net.PacketConn
	inNetns(t, n.Server, func() (err error) {
		for i := range servers {
			if servers[i], err = net.ListenPacket("udp4", n.ServerIP+":0"); err != nil {
				return err
			}
			t.Cleanup(func() { servers[i].Close() })
		}
		return nil
	})
	mapped := map[string]*net.UDPAddr{} // as the first server sees them
	socks := map[string]net.PacketConn{}
	for _, who := range []string{n.A, n.B} {
		inNetns(t, who, func() error {
			sock, err := net.ListenPacket("udp4", ":0")
			if err != nil {
				return err
			}
			t.Cleanup(func() { sock.Close() })
			socks[who] = sock
			var seen [2]*net.UDPAddr
			for i, s := range servers {
				if _, err := sock.WriteTo([]byte("hello"), s.LocalAddr()); err != nil {
					return err
				}
				if seen[i], err = from(s); err != nil {
					return err
				}
			}
			if seen[0].Port == seen[1].Port {
				return errors.New("the router keeps the port: not symmetric")
			}
			mapped[who] = seen[0]
			return nil
		})
	}
	// Hole punching, in vain.
	for range 3 {
		_, _ = socks[n.A].WriteTo([]byte("punch"), mapped[n.B])
		_, _ = socks[n.B].WriteTo([]byte("punch"), mapped[n.A])
	}
	for who, sock := range socks {
		_ = sock.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if _, addr, err := sock.ReadFrom(make([]byte, 100)); err == nil {
			t.Errorf("%s was reached from %v", who, addr)
		}
	}
}

// TestRoaming: the server sees the person at the Wi-Fi's address, not at all, and at
// the mobile network's.
func TestRoaming(t *testing.T) {
	n := NewRoaming(t, false)
	var server net.PacketConn
	inNetns(t, n.Server, func() (err error) {
		server, err = net.ListenPacket("udp4", n.ServerIP+":0")
		return err
	})
	t.Cleanup(func() { server.Close() })
	send := func() (err error) {
		inNetns(t, n.Person, func() error {
			var c net.Conn
			if c, err = net.Dial("udp4", server.LocalAddr().String()); err == nil {
				_, err = c.Write([]byte("hello"))
				c.Close()
			}
			return nil
		})
		return err
	}
	seen := func(want string) {
		t.Helper()
		if err := send(); err != nil {
			t.Fatal(err)
		}
		if addr, err := from(server); err != nil || addr.IP.String() != want {
			t.Fatalf("seen at %v (%v), want %s", addr, err, want)
		}
	}
	seen(n.WifiPublicIP)
	n.LoseWifi()
	if err := send(); err == nil {
		t.Fatal("there is a way out without a link")
	}
	n.JoinMobile()
	seen(n.MobilePublicIP)
	n.LoseMobile()
	n.JoinWifi()
	seen(n.WifiPublicIP)
	n.JoinMobile()
	n.LeaveWifi()
	seen(n.MobilePublicIP)
}

// from returns who sent the next packet to s.
func from(s net.PacketConn) (*net.UDPAddr, error) {
	if err := s.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	_, addr, err := s.ReadFrom(make([]byte, 100))
	if err != nil {
		return nil, err
	}
	return addr.(*net.UDPAddr), nil
}

// TestProxy: bytes pass, then vanish, then the connection is reset.
func TestProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := NewProxy(t, l.Addr().String())
	c, err := p.Dial(t.Context(), "tcp", "anywhere:1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	read := func(d time.Duration) (string, error) {
		_ = s.SetReadDeadline(time.Now().Add(d))
		buf := make([]byte, 100)
		n, err := s.Read(buf)
		return string(buf[:n]), err
	}
	if _, err := c.Write([]byte("one")); err != nil {
		t.Fatal(err)
	}
	if got, err := read(5 * time.Second); got != "one" || err != nil {
		t.Fatal(got, err)
	}
	p.Blackhole()
	if _, err := c.Write([]byte("two")); err != nil {
		t.Fatal(err)
	}
	if got, err := read(100 * time.Millisecond); got != "" || !IsTimeout(err) {
		t.Fatal(got, err)
	}
	p.Cut()
	if _, err := read(5 * time.Second); !errors.Is(err, unix.ECONNRESET) {
		t.Fatalf("ended with %v, want a reset", err)
	}
}

// TestSplit: a node's ways are lost and found one by one, and silently.
func TestSplit(t *testing.T) {
	s := NewSplit(t, 2)
	conns := map[Way]net.Conn{}
	for way, ip := range map[Way]string{ToUsers: s.Nodes[1].IP, ToRedis: s.Nodes[1].RedisIP} {
		var l net.Listener
		listen := func() (err error) { l, err = net.Listen("tcp", ip+":0"); return err }
		if way == ToUsers {
			inNetns(t, s.Nodes[1].Netns, listen)
		} else if err := listen(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go echo(l)
		dial := func() (err error) { conns[way], err = net.Dial("tcp", l.Addr().String()); return err }
		if way == ToRedis {
			inNetns(t, s.Nodes[1].Netns, dial)
		} else {
			var err error
			if conns[way], err = s.DialFrom(7)(t.Context(), "tcp", l.Addr().String()); err != nil {
				t.Fatal(err)
			}
			if got := conns[way].LocalAddr().String(); !strings.HasPrefix(got, "11.1.0.8:") {
				t.Errorf("the user is %s", got)
			}
		}
	}
	for _, c := range conns {
		defer c.Close()
	}
	for lost, other := range map[Way]Way{ToUsers: ToRedis, ToRedis: ToUsers} {
		if err := s.Lose(1, lost); err != nil {
			t.Fatal(err)
		}
		if err := echoed(conns[other], 10*time.Second); err != nil {
			t.Errorf("%s while %s is lost: %v", other, lost, err)
		}
		if err := echoed(conns[lost], 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s is lost, and: %v", lost, err)
		}
		if err := s.Pass(1, lost); err != nil {
			t.Fatal(err)
		}
		if err := echoed(conns[lost], 20*time.Second); err != nil { // what was sent meanwhile comes too
			t.Errorf("%s is back, and: %v", lost, err)
		}
	}
}

// echo gives every connection back what it sends.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c) // until the other end closes
		}()
	}
}

func echoed(c net.Conn, within time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

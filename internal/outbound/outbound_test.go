package outbound

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/internal/address"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Outside stands for the public Internet here: it alone is allowed. Inside is what must
// not be reached.
const (
	outside = "127.0.0.2"
	inside  = "127.0.0.1"
)

func dialer(t testing.TB, cfg Config) *Dialer {
	t.Helper()
	cfg.Allow = append(cfg.Allow, netip.MustParsePrefix(outside+"/32"))
	if cfg.Timeout == 0 {
		cfg.Timeout = 20 * time.Second
	}
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func client(t testing.TB, cfg Config) *http.Client {
	t.Helper()
	c := dialer(t, cfg).Client()
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// serve listens at an address of this machine.
func serve(t testing.TB, addr string, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// secret serves what must not be reached.
func secret(t testing.TB) *httptest.Server {
	return serve(t, inside, func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s has reached the inside", r.Method, r.URL)
	})
}

// port is a server's.
func port(s *httptest.Server) string {
	_, p, _ := net.SplitHostPort(s.Listener.Addr().String())
	return p
}

func get(t testing.TB, c *http.Client, where string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, where, nil)
	if err != nil {
		return "", err
	}
	return do(c, req)
}

func do(c *http.Client, req *http.Request) (string, error) {
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, body), err
}

func refused(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, ErrRefused) {
		t.Errorf("%s: %v, want a refusal", what, err)
	}
}

// TestSSRFAddresses: what is not public cannot be dialled, however it is written.
func TestSSRFAddresses(t *testing.T) {
	d, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{
		"127.0.0.1", "127.8.9.10", "::1", // loopback
		"0.0.0.0", "0.1.2.3", "::", // this network; Linux connects 0.0.0.0 to itself
		"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd00::1", "fc00::1", "fec0::1", // private
		"169.254.1.1", "fe80::1", "fe80::1%lo", // link-local
		"100.64.0.1", "100.127.255.255", // CGNAT
		"224.0.0.1", "239.255.255.255", "ff02::1", "240.0.0.1", "255.255.255.255", // multicast, reserved
		"169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16", // metadata
		"192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "198.18.0.1", // documentation, benchmarks
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", // IPv4 mapped, compatible
		"64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::10.0.0.1", // NAT64
		"2002:7f00:1::1", "2002:a00:1::1", "2002:808:808::1", // 6to4
		"2001:0:7f00:1::1", "2001:20::1", // Teredo, ORCHID
		"100::1", "5f00::1", // discard, segment routing
	} {
		conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, "80"))
		if err == nil {
			_ = conn.Close()
		}
		refused(t, host, err)
		literal := &url.URL{Scheme: "https", Host: net.JoinHostPort(host, "443")}
		refused(t, "URL with "+host, d.Check(literal))
	}
	for _, host := range []string{
		"1.1.1.1", "9.255.255.255", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.167.1.1", "198.17.1.1",
		"223.255.255.255", "2606:4700::1111", "2a00::1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1",
	} {
		if err := d.judge(netip.MustParseAddr(host)); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// TestSSRFOwnAddress: the machine's own public addresses are behind its firewall.
func TestSSRFOwnAddress(t *testing.T) {
	own := func() ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("9.9.9.9"), netip.MustParseAddr("2a00::1%eth0")}, nil
	}
	d, err := New(Config{own: own})
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"9.9.9.9", "::ffff:9.9.9.9", "64:ff9b::9.9.9.9", "2a00::1"} {
		_, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, "443"))
		refused(t, host, err)
	}
	d.cfg.own = func() ([]netip.Addr, error) { return nil, errors.New("no answer") }
	refused(t, "own addresses are not known", d.judge(netip.MustParseAddr("1.1.1.1")))
	if list, err := address.Own(); err != nil || !slices.Contains(list, netip.MustParseAddr(inside)) {
		t.Errorf("own addresses: %v, %v", list, err)
	}
}

// TestSSRFAllow: the allowed range, and nothing beside it.
func TestSSRFAllow(t *testing.T) {
	list, err := address.ParsePrefixes([]string{" 10.1.0.0/16", "::ffff:10.2.0.0/112", "fd00:1::/32", "127.0.0.9"})
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(Config{Allow: list})
	if err != nil {
		t.Fatal(err)
	}
	for host, ok := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.3.4": true, "fd00:1::1": true, "127.0.0.9": true,
		"10.0.255.255": false, "10.3.0.0": false, "fd00:2::1": false, "127.0.0.1": false, "::1": false,
	} {
		if err := d.judge(netip.MustParseAddr(host)); (err == nil) != ok {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, cfg := range []Config{{Allow: []netip.Prefix{{}}}, {Timeout: -1}, {Redirects: 11}, {MaxBody: -1}, {DialTimeout: -1}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("made with %+v", cfg)
		}
	}
}

// TestSSRFSchemes: no files, no sockets, no other services' ports, no plain http where it is refused.
func TestSSRFSchemes(t *testing.T) {
	c, strict := client(t, Config{}), client(t, Config{HTTPSOnly: true})
	for _, where := range []string{
		"file:///etc/passwd", "gopher://" + outside + "/", "ftp://" + outside + "/", "unix:///run/docker.sock", "//" + outside + "/", "/etc/passwd",
		"http:///x", "http://:80/", "http://" + outside + ":25/", "http://" + outside + ":22/", "https://" + outside + ":0/",
	} {
		_, err := get(t, c, where)
		refused(t, where, err)
	}
	_, err := get(t, strict, "http://"+outside+"/")
	refused(t, "plain http", err)
	for _, network := range []string{"unix", "udp", "ip4:1", "unixgram", ""} {
		_, err := dialer(t, Config{}).DialContext(t.Context(), network, outside+":80")
		refused(t, network, err)
	}
}

// TestSSRFNames: a name is as good as what it resolves to. Some system resolvers read
// "0x7f.1" as an address.
func TestSSRFNames(t *testing.T) {
	in := secret(t)
	names := map[string][]string{"localtest.me": {inside}, "0x7f.1": {inside}, "meta": {"169.254.169.254"}, "mapped": {"::ffff:7f00:1"}}
	c := client(t, Config{Resolver: resolver(t, func(name string, _ int) []string { return names[name] })})
	for name := range names {
		_, err := get(t, c, "http://"+name+":"+port(in)+"/")
		refused(t, name, err)
	}
	out := serve(t, outside, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "outside") })
	both := client(t, Config{Resolver: resolver(t, func(string, int) []string { return []string{inside, outside} })})
	if got, err := get(t, both, "http://both:"+port(out)+"/"); got != "200 outside" {
		t.Errorf("a name with an address inside and one outside: %q, %v", got, err)
	}
}

// TestSSRFRebinding: a name that was fine at the first look is judged again.
func TestSSRFRebinding(t *testing.T) {
	out := serve(t, outside, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "outside") })
	l, err := net.Listen("tcp", net.JoinHostPort(inside, port(out)))
	if err != nil {
		t.Fatal(err)
	}
	in := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the inside was reached") }))
	_ = in.Listener.Close()
	in.Listener = l
	in.Start()
	t.Cleanup(in.Close)
	c := client(t, Config{Resolver: resolver(t, func(_ string, look int) []string {
		if look == 1 {
			return []string{outside}
		}
		return []string{inside}
	})})
	where := "http://rebind.example:" + port(out) + "/"
	if got, err := get(t, c, where); got != "200 outside" {
		t.Fatalf("%q, %v", got, err)
	}
	c.CloseIdleConnections()
	_, err = get(t, c, where)
	refused(t, "the second look", err)
}

// TestSSRFRedirects: they are not followed, or judged like the first URL, and few.
func TestSSRFRedirects(t *testing.T) {
	in := secret(t)
	var to atomic.Value
	out := serve(t, outside, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to.Load().(string), http.StatusTemporaryRedirect)
	})
	to.Store(in.URL + "/admin")
	if got, err := get(t, client(t, Config{}), out.URL); !strings.HasPrefix(got, "307 ") {
		t.Errorf("not told to follow: %q, %v", got, err)
	}
	following := client(t, Config{Redirects: 3})
	for _, where := range []string{in.URL + "/admin", "file:///etc/passwd", "http://169.254.169.254/latest/meta-data/", "http://[::ffff:127.0.0.1]/", "http://" + outside + ":25/", out.URL + "/loop"} {
		to.Store(where)
		_, err := get(t, following, out.URL)
		refused(t, "to "+where, err)
	}
	first, _ := http.NewRequest(http.MethodGet, "https://a.example/", nil)
	next, _ := http.NewRequest(http.MethodGet, "http://a.example/", nil)
	refused(t, "from https to http", dialer(t, Config{Redirects: 1}).redirect(next, []*http.Request{first}))
}

// TestRedirectTakesNoSecrets: what was in the header for one host goes to no other, not even
// after it was there twice.
func TestRedirectTakesNoSecrets(t *testing.T) {
	var hops atomic.Int64
	other := serve(t, outside, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Authorization", "X-Goog-Api-Key", "Cookie", "Referer"} {
			if v := r.Header.Get(name); v != "" {
				t.Errorf("hop %d: %s: %s", hops.Load(), name, v)
			}
		}
		if hops.Add(1) == 1 {
			http.Redirect(w, r, "/again", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, r.Header.Get("Accept"))
	})
	out := serve(t, outside, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, out.URL+"/?key=secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer x"}, "X-Goog-Api-Key": {"x"}, "Cookie": {"a=b"}, "Accept": {"text/plain"}}
	if got, err := do(client(t, Config{Redirects: 3}), req); got != "200 text/plain" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestSSRFProxyOfTheEnvironment: nobody is asked for a proxy. (What the environment says is
// read once in a process, so the test cannot set it.)
func TestSSRFProxyOfTheEnvironment(t *testing.T) {
	if g, ok := client(t, Config{}).Transport.(*guard); !ok || g.t.Proxy != nil {
		t.Error("the client has a proxy")
	}
}

// TestHugeAnswers: bodies, with and without a length, headers and compression end at the bound.
func TestHugeAnswers(t *testing.T) {
	const most = 1000
	s := serve(t, outside, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fits":
			_, _ = w.Write(bytes.Repeat([]byte("x"), most))
		case "/length":
			w.Header().Set("Content-Length", "1000000000000")
			_, _ = w.Write([]byte("x"))
		case "/endless":
			for {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		case "/header":
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		case "/gzip":
			if r.Header.Get("Accept-Encoding") != "" {
				t.Error("compression was asked for")
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "no gzip")
		}
	})
	c := client(t, Config{MaxBody: most})
	if got, err := get(t, c, s.URL+"/fits"); err != nil || len(got) != most+4 {
		t.Errorf("just fits: %d bytes, %v", len(got), err)
	}
	for _, path := range []string{"/length", "/endless"} {
		if got, err := get(t, c, s.URL+path); !errors.Is(err, ErrTooLarge) || len(got) > most+4 {
			t.Errorf("%s: %d bytes, %v", path, len(got), err)
		}
	}
	if _, err := get(t, c, s.URL+"/header"); err == nil {
		t.Error("a header of 1 MiB was taken")
	}
	if got, err := get(t, c, s.URL+"/gzip"); got != "200 no gzip" {
		t.Errorf("%q, %v: something is inflated", got, err)
	}
}

// TestSlowAnswers: who hangs, before or in the answer, is left.
func TestSlowAnswers(t *testing.T) {
	s := serve(t, outside, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_, _ = w.Write([]byte("x"))
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	})
	c := client(t, Config{Timeout: 150 * time.Millisecond})
	for _, path := range []string{"/head", "/body"} {
		start := time.Now()
		_, err := get(t, c, s.URL+path+"?key=secret")
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%s: %v", path, err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s took %v", path, took)
		}
		if strings.Contains(Cause(err).Error(), "secret") {
			t.Errorf("%s: the cause %q shows the URL", path, Cause(err))
		}
	}
}

// resolver answers with what addrs says for a name at its first, second … look, and for
// IPv4 only unless an address is of IPv6.
func resolver(t testing.TB, addrs func(name string, look int) []string) *net.Resolver {
	t.Helper()
	var looks atomic.Int32
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer func() { _ = ours.Close() }()
			var size [2]byte
			for {
				if _, err := io.ReadFull(ours, size[:]); err != nil {
					return
				}
				query := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(ours, query); err != nil {
					return
				}
				answer := answerTo(query, func(name string, four bool) []string {
					if four {
						return addrs(name, int(looks.Add(1)))
					}
					return addrs(name, int(looks.Load()))
				})
				if _, err := ours.Write(answer); err != nil {
					return
				}
			}
		}()
		return theirs, nil
	}}
}

// answerTo makes a DNS answer (RFC 1035) with its length before it, as over TCP.
func answerTo(query []byte, addrs func(name string, four bool) []string) []byte {
	var labels []string
	at := 12
	for query[at] != 0 {
		labels = append(labels, string(query[at+1:at+1+int(query[at])]))
		at += 1 + int(query[at])
	}
	question := query[12 : at+5]
	kind := binary.BigEndian.Uint16(query[at+1:])
	var records []byte
	count := uint16(0)
	for _, s := range addrs(strings.Join(labels, "."), kind == 1) {
		a := netip.MustParseAddr(s)
		if a.Is4() != (kind == 1) || kind != 1 && kind != 28 {
			continue
		}
		count++
		records = append(records, 0xc0, 12)
		records = binary.BigEndian.AppendUint16(records, kind)
		records = append(records, 0, 1, 0, 0, 0, 0)
		records = binary.BigEndian.AppendUint16(records, uint16(len(a.AsSlice())))
		records = append(records, a.AsSlice()...)
	}
	answer := append([]byte{0, 0}, query[:2]...)
	answer = append(answer, 0x81, 0x80, 0, 1)
	answer = binary.BigEndian.AppendUint16(answer, count)
	answer = append(answer, 0, 0, 0, 0)
	answer = append(append(answer, question...), records...)
	binary.BigEndian.PutUint16(answer, uint16(len(answer)-2))
	return answer
}

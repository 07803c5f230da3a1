package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/turnserver/probe"
)

// errUnwell says that doctor found something; what it is was printed.
var errUnwell = errors.New("some ways do not work; see above")

// checkup is one run of doctor: what was found so far, and where it is told.
type checkup struct {
	out     io.Writer
	base    *url.URL
	tls     *tls.Config
	trouble bool
}

// doctor looks at a running server as a browser would, from where it runs: run
// it on the server, and again from a network that users are in.
func doctor(ctx context.Context, args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("rondo doctor", flag.ContinueOnError)
	at := fs.String("url", "http://localhost:8080", "`URL` of the page")
	insecure := fs.Bool("insecure", false, "accept any certificate, e.g. a self-signed one")
	timeout := fs.Duration("timeout", 5*time.Second, "`time` for each way")
	if err := parse(fs, args, stdout); err != nil {
		return err
	}
	base, err := url.Parse(*at)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return fmt.Errorf("%w: url: %q is not a URL such as https://meet.example.org", errUsage, *at)
	}
	c := &checkup{out: stdout, base: base, tls: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: *insecure}}
	c.page(ctx, *timeout)
	ice, ok := c.session(ctx, *timeout)
	if ok {
		c.relays(ctx, ice, *timeout)
	}
	if c.trouble {
		return errUnwell
	}
	fmt.Fprintln(stdout, "\nAll ways work from here.")
	return nil
}

func (c *checkup) good(what, detail string) { fmt.Fprintf(c.out, "  ok    %-34s %s\n", what, detail) }

func (c *checkup) bad(what string, err error, advice string) {
	c.trouble = true
	fmt.Fprintf(c.out, "  FAIL  %-34s %v\n        → %s\n", what, err, advice)
}

// page fetches the page and sees whether a browser would give it a camera.
func (c *checkup) page(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	httpClient := &http.Client{Transport: &http.Transport{TLSClientConfig: c.tls}}
	defer httpClient.CloseIdleConnections()
	start := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.String(), nil)
	if err != nil {
		c.bad("page", err, "check the URL")
		return
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		c.bad("page", err, "open TCP port "+c.port()+" to the server, and check the name and the certificate")
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		c.bad("page", errors.New(resp.Status), "a proxy in front does not pass requests on to Rondo")
		return
	}
	c.good("page", took(start))
	host := c.base.Hostname()
	ip := net.ParseIP(host)
	if c.base.Scheme == "http" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		c.bad("camera and microphone", errors.New("the page is not https"),
			"browsers give camera and microphone only to https pages: use acme-domain, tls-cert or tls-self-signed")
	}
}

func (c *checkup) port() string {
	if p := c.base.Port(); p != "" {
		return p
	}
	if c.base.Scheme == "https" {
		return "443"
	}
	return "80"
}

// session opens a session as a guest and returns the ICE servers it is told of.
func (c *checkup) session(ctx context.Context, timeout time.Duration) (*protocol.ICE, bool) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ws := *c.base
	ws.Scheme = map[string]string{"http": "ws", "https": "wss"}[c.base.Scheme]
	ws.Path = "/ws"
	start := time.Now()
	cl, err := client.Dial(ctx, ws.String(), client.Options{Name: "Doctor", TLS: c.tls, NoReconnect: true,
		Header: http.Header{"Origin": {c.base.Scheme + "://" + c.base.Host}}})
	if err != nil {
		c.bad("WebSocket", err, "let the proxy in front pass Upgrade headers and the Host on to /ws, and list this page under origins")
		return nil, false
	}
	w := cl.Welcome()
	if err := cl.Close(); err != nil {
		c.bad("WebSocket", err, "the connection broke")
		return nil, false
	}
	c.good("WebSocket", took(start)+", node "+string(w.Node)+", "+w.Server)
	if w.ICE == nil || len(w.ICE.Servers) == 0 {
		c.bad("relays", errors.New("clients are told of no STUN or TURN server"), "switch turn on, or set turn-server")
		return nil, false
	}
	return w.ICE, true
}

// relays tries every way to the STUN and TURN servers.
func (c *checkup) relays(ctx context.Context, ice *protocol.ICE, timeout time.Duration) {
	for _, r := range probe.Run(ctx, probe.Config{Servers: ice.Servers, TLS: c.tls, Timeout: timeout}) {
		what := fmt.Sprintf("%s over %s", r.Check, r.Transport)
		if r.OK {
			c.good(what, fmt.Sprintf("%s, %v  %s", r.URL, r.Took.Round(time.Millisecond), r.Found))
		} else {
			c.bad(what, fmt.Errorf("%s: %w", r.URL, r.Err), r.Advice)
		}
	}
}

func took(start time.Time) string { return time.Since(start).Round(time.Millisecond).String() }

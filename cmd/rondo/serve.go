package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/bus/redisbus"
	"github.com/rondo-chat/rondo/chat"
	chatredis "github.com/rondo-chat/rondo/chat/redisstore"
	"github.com/rondo-chat/rondo/internal/holdable"
	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/internal/turnstile"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/matchmaking/redisqueue"
	"github.com/rondo-chat/rondo/metrics"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
	roomsredis "github.com/rondo-chat/rondo/rooms/redisstore"
	"github.com/rondo-chat/rondo/server"
	"github.com/rondo-chat/rondo/signaling"
	sessionredis "github.com/rondo-chat/rondo/signaling/redisstore"
	"github.com/rondo-chat/rondo/turnserver"
	"github.com/rondo-chat/rondo/web"
)

// guestTTL is how long a guest who does not return is remembered.
const guestTTL = 90 * 24 * time.Hour

// node is one running server with everything it opened.
type node struct {
	cfg     *config
	log     *slog.Logger
	id      protocol.NodeID
	signer  *auth.Signer
	metrics *metrics.Metrics
	health  *metrics.Health
	certs   certificates
	server  *server.Server
	turn    *turnserver.Server
	// turnstile is where newcomers wait: connections, pages, sessions side by side.
	turnstile *turnstile.Turnstile
	closers   []func() // undone in reverse order
}

// moreThreads lets the runtime use more threads than there are cores where these are few.
// While all its threads are busy, collecting garbage too, it looks for news from the network
// every 10 ms only; the kernel shares the cores out sooner. On two cores, with 5,000 who
// come at once, p99 of everybody else then is twice that of an idle server instead of four times and more.
func moreThreads(env []string) {
	set := slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "GOMAXPROCS=") })
	if n := runtime.GOMAXPROCS(0); n <= fewCores && !set {
		runtime.GOMAXPROCS(2 * n)
	}
}

// fewCores is up to how many cores the runtime's own sharing is not fine enough.
const fewCores = 4

// serve runs the server until ctx ends, then sends clients away and stops.
func serve(ctx context.Context, args, env []string, stdout, stderr io.Writer) error {
	cfg, err := loadConfig(args, env, stderr)
	if err != nil {
		return err
	}
	level, _ := logLevel(cfg.LogLevel)
	n := &node{cfg: cfg, log: newLogger(stderr, cfg.LogFormat, level), turnstile: turnstile.New()}
	defer n.close()
	if err := n.open(ctx); err != nil {
		return err
	}
	moreThreads(env) // last: what works on all cores at once has counted them
	return n.run(ctx, stdout)
}

func newLogger(w io.Writer, format string, level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func logLevel(s string) (slog.Level, error) {
	var l slog.Level
	err := l.UnmarshalText([]byte(s))
	return l, err
}

func (n *node) onClose(f func()) { n.closers = append(n.closers, f) }

func (n *node) close() {
	for i := len(n.closers) - 1; i >= 0; i-- {
		n.closers[i]()
	}
}

// open makes everything but the public listener.
func (n *node) open(ctx context.Context) error {
	if err := os.MkdirAll(n.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if err := n.openSecret(); err != nil {
		return err
	}
	var err error
	if n.certs, err = openCertificates(n.cfg); err != nil {
		return err
	}
	n.id = protocol.NodeID(n.cfg.Node)
	if n.id == "" {
		n.id = protocol.NodeID("n_" + auth.Random(8))
	}
	n.metrics = metrics.New(version())
	n.health = metrics.NewHealth(metrics.HealthConfig{Logger: n.log, Registerer: n.metrics.Registerer()})
	if err := n.openTURN(); err != nil {
		return err
	}
	if !n.cfg.Roles.signaling() {
		return nil
	}
	return n.openServer(ctx)
}

// openServer makes the part that the role signaling stands for.
func (n *node) openServer(ctx context.Context) error {
	sc := server.Config{
		Version: version(), Signer: n.signer, Guests: auth.NewGuests(n.signer, guestTTL),
		RemoteAddr: clientAddr(n.cfg.TrustedProxies), Pools: matchPools(n.cfg.Pools),
		Health: n.health, Registerer: n.metrics.Registerer(), Logger: n.log, LogAddresses: n.cfg.LogAddresses,
		Turnstile: n.turnstile,
		Sessions: signaling.Limits{
			Ping: n.cfg.PingInterval, Grace: n.cfg.Grace,
			MaxSessions: n.cfg.MaxSessions, PerAddress: n.cfg.MaxSessionsPerAddress,
		},
	}
	origins, err := auth.ParseOrigins(n.cfg.Origins)
	if err != nil {
		return fmt.Errorf("%w: origins: %w", errUsage, err)
	}
	sc.CheckOrigin = origins.Check
	sc.Page = page(web.Handler(web.Config{FrameAncestors: n.cfg.FrameAncestors}), n.turnstile.Beside())
	if err := n.openDrivers(ctx, &sc); err != nil {
		return err
	}
	n.offerTURN(&sc)
	n.server, err = server.New(sc)
	return err
}

func (n *node) openSecret() error {
	path := n.cfg.secretPath()
	if _, err := os.Stat(path); err != nil && !n.cfg.Roles.signaling() {
		// A secret of its own would make a relay that nobody can use.
		return fmt.Errorf("secret-file: a turn node needs that of the signaling nodes: %w", err)
	}
	secret, created, err := auth.LoadOrCreateSecret(path)
	if err != nil {
		return fmt.Errorf("secret-file: %w", err)
	}
	if created {
		n.log.Info("secret generated", "file", path)
	}
	n.signer, err = auth.NewSigner(secret)
	return err
}

// openDrivers chooses memory or Redis for everything that nodes share.
func (n *node) openDrivers(ctx context.Context, sc *server.Config) error {
	if n.cfg.Redis == "" {
		sc.Bus = bus.NewMemory(n.id)
		sc.Queue, sc.Relations = matchmaking.NewMemoryQueue(), matchmaking.NewMemoryRelations()
		sc.Rooms = rooms.NewMemory()
		var err error
		if sc.Chat, err = chat.NewMemory(chat.Retention{}); err != nil {
			return err
		}
		limiter, err := n.openLimiter(nil)
		if err != nil {
			return err
		}
		if err := n.openAccounts(ctx, sc, limiter); err != nil {
			return err
		}
		return n.openConversationDrivers(nil, limiter, sc.Conversations)
	}
	client, breaker, err := n.openRedis(ctx, n.cfg.Redis)
	if err != nil {
		return err
	}
	if err := checkSharedSecret(ctx, client, n.cfg.RedisPrefix, n.signer.Fingerprint()); err != nil {
		return err
	}
	n.health.AddCheck("redis", breaker.Ready)
	limiter, err := n.openLimiter(client)
	if err != nil {
		return err
	}
	if err := n.openAccounts(ctx, sc, limiter); err != nil {
		return err
	}
	if sc.Accounts != nil {
		if err := n.openAccountCaches(client, sc.Accounts); err != nil {
			return err
		}
	}
	if err := n.openConversationDrivers(client, limiter, sc.Conversations); err != nil {
		return err
	}
	return n.openRedisDrivers(client, sc)
}

// clusterParts is into how many parts a large pool is split over the masters of a
// Redis Cluster. A single Redis would not get faster thereby.
const clusterParts = 16

func (n *node) openRedisDrivers(client redis.UniversalClient, sc *server.Config) (err error) {
	common := rediscall.Config{Client: client, Prefix: n.cfg.RedisPrefix, Timeout: redisTimeout}
	reg := n.metrics.Registerer()
	if sc.Bus, err = redisbus.New(redisbus.Config{Client: client, Node: n.id, Prefix: n.cfg.RedisPrefix, Logger: n.log, Registerer: reg}); err != nil {
		return err
	}
	if sc.Queue, err = redisqueue.New(redisqueue.Config{Config: common}); err != nil {
		return err
	}
	if _, many := client.(*redis.ClusterClient); many {
		sc.PoolParts = clusterParts
	}
	if sc.Relations, err = redisqueue.NewRelations(redisqueue.Config{Config: common}); err != nil {
		return err
	}
	if sc.Rooms, err = roomsredis.New(roomsredis.Config{Config: common}); err != nil {
		return err
	}
	if sc.SessionStore, err = sessionredis.New(sessionredis.Config{Config: common}); err != nil {
		return err
	}
	sc.Chat, err = chatredis.New(chatredis.Config{Config: common})
	return err
}

func matchPools(list poolList) []matchmaking.PoolConfig {
	var out []matchmaking.PoolConfig
	for _, p := range list {
		mp := matchmaking.PoolConfig{Name: p.Name, Mode: p.Mode, Traits: p.Traits, RelayOnly: p.RelayOnly}
		for _, s := range p.Schedule {
			mp.Schedule = append(mp.Schedule, matchmaking.Step{After: time.Duration(s.After), Reach: s.Reach})
		}
		out = append(out, mp)
	}
	return out
}

// addresses is what the ready file says.
type addresses struct {
	Node    protocol.NodeID `json:"node"`
	HTTP    string          `json:"http,omitempty"`
	HTTPS   bool            `json:"https,omitempty"`
	Metrics string          `json:"metrics,omitempty"`
	TURNUDP string          `json:"turn_udp,omitempty"`
	TURNTCP string          `json:"turn_tcp,omitempty"`
	TURNTLS string          `json:"turn_tls,omitempty"`
}

// setTURN notes a relay listener; the first of a kind counts.
func (a *addresses) setTURN(l turnserver.Addr) {
	for transport, field := range map[string]*string{"udp": &a.TURNUDP, "tcp": &a.TURNTCP, "tls": &a.TURNTLS} {
		if l.Transport == transport && *field == "" {
			*field = l.Addr.String()
		}
	}
}

// run listens, says where, waits for the end and stops in order.
func (n *node) run(ctx context.Context, stdout io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	at := addresses{Node: n.id}
	var public net.Listener
	if n.server != nil {
		var err error
		if public, err = net.Listen("tcp", n.cfg.Listen); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		defer public.Close()
		public = patient{public, n.turnstile.Beside()}
		at.HTTP, at.HTTPS = public.Addr().String(), n.certs.enabled()
		if err := n.server.Start(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	go giveBack(ctx)
	failed := make(chan error, 4)
	if err := n.turn.Start(); err != nil {
		return fmt.Errorf("turn: %w", err)
	}
	for _, a := range n.turn.Addrs() {
		at.setTURN(a)
	}
	if err := n.serveMetrics(&at, stop, failed); err != nil {
		return err
	}
	web := n.servePublic(public, failed)
	if err := n.serveACME(failed); err != nil {
		return err
	}
	if err := n.announce(at, stdout); err != nil {
		return err
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	return errors.Join(err, n.stop(web))
}

// servePublic serves the page and the WebSocket; without a listener, nothing.
func (n *node) servePublic(public net.Listener, failed chan<- error) *http.Server {
	if public == nil {
		return n.newHTTP(nil)
	}
	web := n.newHTTP(n.server.Handler())
	serve := web.Serve
	if n.certs.enabled() {
		public = holdable.Listener{Listener: public} // idle sessions cost less over it
	}
	switch {
	case n.certs.enabled() && n.cfg.sharesHTTPS():
		web.TLSConfig = n.certs.config("h2", "http/1.1")
		public = n.turn.Share(public, web.TLSConfig)
	case n.certs.enabled():
		web.TLSConfig = n.certs.config("h2", "http/1.1")
		serve = func(l net.Listener) error { return web.ServeTLS(l, "", "") }
	}
	go func() { failed <- serve(public) }()
	return web
}

// newHTTP is an HTTP server with the limits that a public one needs.
func (n *node) newHTTP(h http.Handler) *http.Server {
	return &http.Server{
		// The times end with the upgrade to a WebSocket, which has limits of its own.
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.New(&httpLog{log: n.log}, "", 0),
	}
}

func (n *node) serveMetrics(at *addresses, stop func(), failed chan<- error) error {
	if n.cfg.MetricsListen == "" {
		return nil
	}
	l, err := net.Listen("tcp", n.cfg.MetricsListen)
	if err != nil {
		return fmt.Errorf("metrics-listen: %w", err)
	}
	at.Metrics = l.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", n.metrics.Handler())
	mux.HandleFunc("GET /healthz", n.health.Healthz)
	mux.HandleFunc("GET /readyz", n.health.Readyz)
	mux.HandleFunc("POST /drain", drainHandler(n.signer, time.Now, stop))
	s := n.newHTTP(mux)
	n.onClose(func() { _ = s.Close() })
	go func() { failed <- ignoreClosed(s.Serve(l)) }()
	return nil
}

// serveACME answers HTTP challenges, and sends everybody else to https.
func (n *node) serveACME(failed chan<- error) error {
	if n.cfg.ACMEHTTP == "" || n.certs.http == nil {
		return nil
	}
	l, err := net.Listen("tcp", n.cfg.ACMEHTTP)
	if err != nil {
		return fmt.Errorf("acme-http: %w", err)
	}
	s := n.newHTTP(n.certs.http(nil))
	n.onClose(func() { _ = s.Close() })
	go func() { failed <- ignoreClosed(s.Serve(l)) }()
	return nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// announce tells a person, and whoever reads the ready file, where the server is.
func (n *node) announce(at addresses, stdout io.Writer) error {
	n.greet(at, stdout)
	if n.cfg.ReadyFile == "" {
		return nil
	}
	data, err := json.Marshal(at)
	if err != nil {
		return err
	}
	tmp := n.cfg.ReadyFile + ".tmp" // whoever waits for the file must never read half of it
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("ready-file: %w", err)
	}
	return os.Rename(tmp, n.cfg.ReadyFile)
}

func (n *node) greet(at addresses, stdout io.Writer) {
	if at.HTTP == "" {
		fmt.Fprintf(stdout, "Rondo %s is ready to relay at %s\n", version(), at.TURNUDP)
		return
	}
	url := n.cfg.PublicURL
	if url == "" {
		url = localURL(at)
	}
	fmt.Fprintf(stdout, "Rondo %s is ready: open %s\n", version(), url)
	if !at.HTTPS && n.cfg.PublicURL == "" {
		fmt.Fprintln(stdout, "Browsers give camera and microphone only to https pages and to localhost; for other devices use --acme-domain or --tls-self-signed.")
	}
}

// localURL is where a person on this machine finds the page.
func localURL(at addresses) string {
	scheme := "http"
	if at.HTTPS {
		scheme = "https"
	}
	host := at.HTTP
	if ap, err := netip.ParseAddrPort(at.HTTP); err == nil && ap.Addr().IsUnspecified() {
		host = fmt.Sprintf("localhost:%d", ap.Port())
	}
	return scheme + "://" + host
}

// stop sends clients away and ends everything that run started.
func (n *node) stop(web *http.Server) error {
	n.log.Info("stopping", "timeout", n.cfg.DrainTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), n.cfg.DrainTimeout+5*time.Second)
	defer cancel()
	n.health.Drain()
	var err error
	if n.server != nil {
		err = n.server.Drain(ctx, n.cfg.DrainTimeout/2)
		err = errors.Join(err, n.server.Close(ctx))
	}
	// Calls go on without signaling; their relays get what is left of the time.
	drain, done := context.WithTimeout(ctx, n.cfg.DrainTimeout/2)
	defer done()
	_ = n.turn.Drain(drain) // what is left at the deadline is closed now
	return errors.Join(err, n.turn.Close(), web.Shutdown(ctx))
}

package turnserver

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pion/turn/v4"

	"github.com/rondo-chat/rondo/internal/address"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// Server is a STUN and TURN server. Make one with New.
type Server struct {
	// static after New
	cfg            Config
	own            []netip.Addr
	relayAddrs     []relayAddr
	warnings       []string // grows in Start
	clipped        bool     // a warning about socket buffers is among them
	metrics        *metrics
	nonces         *nonces
	answers        *answers
	allocationRate *ratelimit.Keyed
	perUser        *quota
	perAddr        *quota
	ports          map[byte]*ports // by address family
	total          *sharedRate
	relays         *relays
	conns          *conns
	control        *control
	done           chan struct{} // closed by Close

	keys     atomic.Pointer[keyring]
	policy   atomic.Pointer[peerPolicy]
	draining atomic.Bool

	pion    *turn.Server
	udp     []*udpListener
	streams []*streamListener
	running sync.WaitGroup

	mu     sync.Mutex
	state  state
	addrs  []Addr
	cut    map[string]time.Time // users whose credentials up to this expiry are void
	swept  time.Time            // when cut was last looked through
	timers map[*time.Timer]struct{}
}

type state int

const (
	stateNew state = iota
	stateRunning
	stateClosed
)

// Addr is an address that the server listens on.
type Addr struct {
	Transport string // "udp", "tcp", "tls", or "https": TLS on a port that Share shares
	Addr      netip.AddrPort
}

// New checks the configuration and makes a server, which Start starts.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	own, err := address.Own()
	if err != nil {
		return nil, fmt.Errorf("turnserver: %w", err)
	}
	l := &cfg.Limits
	s := &Server{
		cfg:            cfg,
		own:            own,
		nonces:         newNonces(),
		answers:        newAnswers(l.Answers, l.AnswersTotal),
		allocationRate: ratelimit.NewKeyed(l.AllocationRate, allocationRateKeys),
		perUser:        newQuota(l.AllocationsPerUser),
		perAddr:        newQuota(l.AllocationsPerAddr),
		ports:          map[byte]*ports{},
		total:          newSharedRate(l.TotalBandwidth),
		relays:         &relays{all: map[netip.AddrPort]*allocation{}},
		conns:          newConns(l.Conns, l.ConnsPerAddr),
		done:           make(chan struct{}),
		cut:            map[string]time.Time{},
		timers:         map[*time.Timer]struct{}{},
	}
	if !cfg.ExternalOnly {
		s.relayAddrs, s.warnings = relayAddrs(cfg.external(), own)
	}
	s.warnings = append(s.warnings, cfg.hostWarnings()...)
	for _, r := range s.relayAddrs {
		s.ports[familyOf(r.public)] = newPorts(r, cfg.RelayPorts)
	}
	s.keys.Store(&keyring{realm: cfg.Realm, secrets: slices.Clone(cfg.Secrets)})
	s.setPolicy(cfg.Policy)
	s.metrics = newMetrics(s)
	s.control = newControl(s)
	return s, nil
}

// allocationRateKeys bounds the memory for allocation rates. They are taken by
// authenticated clients only.
const allocationRateKeys = 1 << 16

// Start opens the listeners and serves until Close. It fails when any address
// that was asked for cannot be listened on.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateNew {
		return errors.New("turnserver: started or closed before")
	}
	if !s.cfg.ExternalOnly {
		if err := s.startLocked(); err != nil {
			s.closeListeners()
			s.freeListeners()
			return fmt.Errorf("turnserver: %w", err)
		}
	}
	s.state = stateRunning
	for _, w := range s.warnings {
		s.cfg.Logger.Warn(w)
	}
	return nil
}

func (s *Server) startLocked() error {
	for _, a := range s.cfg.Listen {
		if err := s.listen(a); err != nil {
			return err
		}
	}
	for _, a := range s.cfg.TLSListen {
		if err := s.listenTLS(a); err != nil {
			return err
		}
	}
	s.setPolicy(s.cfg.Policy) // knows the listeners' ports now
	pion, err := s.control.start()
	if err != nil {
		return err
	}
	if err := s.metrics.register(s.cfg.Registerer); err != nil {
		pion.Close()
		return err
	}
	s.pion = pion
	for _, l := range s.udp {
		for _, r := range l.readers {
			s.running.Go(r.serve)
		}
	}
	for _, l := range s.streams {
		s.running.Go(l.serve)
	}
	return nil
}

// listen opens UDP and TCP on one address, on both families when it has no host.
func (s *Server) listen(addr string) error {
	targets, err := resolve(addr)
	if err != nil {
		return err
	}
	for _, t := range targets {
		udp, ln, err := s.listenBoth(t)
		if t.optional && errors.Is(err, syscall.EAFNOSUPPORT) {
			continue
		}
		if err != nil {
			return err
		}
		s.udp = append(s.udp, udp)
		s.streams = append(s.streams, &streamListener{s: s, ln: ln})
		s.addrs = append(s.addrs,
			Addr{string(overUDP), udp.addr()},
			Addr{string(overTCP), localAddr(ln.Addr())})
	}
	return nil
}

func (s *Server) listenTLS(addr string) error {
	targets, err := resolve(addr)
	if err != nil {
		return err
	}
	for _, t := range targets {
		ln, err := net.Listen("tcp"+t.family, t.addr.String())
		if t.optional && errors.Is(err, syscall.EAFNOSUPPORT) {
			continue
		}
		if err != nil {
			return err
		}
		s.streams = append(s.streams, &streamListener{s: s, ln: ln, tls: s.cfg.tlsConfig()})
		s.addrs = append(s.addrs, Addr{string(overTLS), localAddr(ln.Addr())})
	}
	return nil
}

func (c *Config) tlsConfig() *tls.Config {
	t := &tls.Config{}
	if c.TLS != nil {
		t = c.TLS.Clone()
	}
	if c.GetCertificate != nil {
		t.GetCertificate = c.GetCertificate
	}
	t.MinVersion = max(t.MinVersion, tls.VersionTLS12)
	t.NextProtos = nil // clients that offer any must not be refused for it
	return t
}

// target is one address to listen on, of one family.
type target struct {
	family   string // "4" or "6"
	addr     netip.AddrPort
	optional bool // the machine may not have the family
}

// resolve turns host:port into addresses; no host means all of both families.
func resolve(addr string) ([]target, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", addr, err)
	}
	n, err := net.LookupPort("udp", port)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", addr, err)
	}
	if host == "" {
		return []target{
			{"4", netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(n)), true},
			{"6", netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(n)), true},
		}, nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: want an IP address or nothing before the port", addr)
	}
	family := "6"
	if ip = ip.Unmap(); ip.Is4() {
		family = "4"
	}
	return []target{{family, netip.AddrPortFrom(ip, uint16(n)), false}}, nil
}

// listenBoth opens UDP and TCP on the same port. A free port of one is not always
// free for the other.
func (s *Server) listenBoth(t target) (*udpListener, net.Listener, error) {
	for try := 0; ; try++ {
		udp, err := s.listenUDP(t)
		if err != nil {
			return nil, nil, err
		}
		ln, err := net.Listen("tcp"+t.family, netip.AddrPortFrom(t.addr.Addr(), udp.addr().Port()).String())
		if err == nil {
			return udp, ln, nil
		}
		udp.close()
		if t.addr.Port() != 0 || try == maxPortTries {
			return nil, nil, err
		}
	}
}

const maxPortTries = 10

func localAddr(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		ap = a.AddrPort()
	case *net.TCPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// noteBuffer warns, once, when the system gives less than what is wanted.
func (s *Server) noteBuffer(got int) {
	if got >= s.cfg.SocketBuffer || s.clipped {
		return
	}
	s.clipped = true
	s.warnings = append(s.warnings, fmt.Sprintf(
		"TURN: the system gives UDP sockets %d bytes of buffer, %d are wanted: bursts of media will lose packets. Set net.core.rmem_max and net.core.wmem_max to %d.",
		got, s.cfg.SocketBuffer, s.cfg.SocketBuffer))
}

// external is what is configured or, when all listeners are on certain
// addresses, those.
func (c *Config) external() []netip.Addr {
	if len(c.ExternalIPs) > 0 {
		return c.ExternalIPs
	}
	var v4, v6 netip.Addr
	for _, l := range slices.Concat(c.Listen, c.TLSListen) {
		ap, err := netip.ParseAddrPort(l)
		switch {
		case err != nil || ap.Addr().IsUnspecified():
			return nil
		case ap.Addr().Unmap().Is4() && !v4.IsValid():
			v4 = ap.Addr().Unmap()
		case ap.Addr().Is6() && !v6.IsValid():
			v6 = ap.Addr().WithZone("")
		}
	}
	return slices.DeleteFunc([]netip.Addr{v4, v6}, func(a netip.Addr) bool { return !a.IsValid() })
}

// Addrs returns the addresses that the server listens on, after Start.
func (s *Server) Addrs() []Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.addrs)
}

func (s *Server) listening() []Addr { return s.Addrs() }

// Warnings says, after Start, in plain words what in the configuration or on this machine will
// keep clients from being served. Empty is good.
func (s *Server) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.warnings)
}

// Allocations returns how many allocations are alive.
func (s *Server) Allocations() int { return s.relays.len() }

func (s *Server) freePorts() int {
	n := 0
	for _, p := range s.ports {
		n += p.available()
	}
	return n
}

// Mint makes a TURN credential for a session: a user name, a password and until
// when they make allocations.
func (s *Server) Mint(session protocol.SessionID, now time.Time) (username, credential string, expiry time.Time) {
	expiry = now.Add(s.cfg.CredentialTTL).Truncate(time.Second)
	username, credential = s.keys.Load().secrets[0].mint(session, expiry)
	return username, credential, expiry
}

// SetSecrets replaces the secrets: the first one mints, all verify. Allocations
// made with a secret that is gone live on.
func (s *Server) SetSecrets(list []Secret) error {
	if err := validateSecrets(list); err != nil {
		return fmt.Errorf("turnserver: %w", err)
	}
	s.keys.Store(&keyring{realm: s.cfg.Realm, secrets: slices.Clone(list)})
	return nil
}

// SetPolicy replaces the peer policy, also for allocations that exist.
func (s *Server) SetPolicy(p Policy) error {
	def(&p.Mode, ModePublic)
	if err := p.validate(); err != nil {
		return fmt.Errorf("turnserver: peer policy: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setPolicy(p)
	return nil
}

func (s *Server) setPolicy(p Policy) {
	var external []netip.Addr
	for _, r := range s.relayAddrs {
		external = append(external, r.public)
	}
	var listeners []uint16
	for _, a := range s.addrs {
		listeners = append(listeners, a.Addr.Port())
	}
	s.policy.Store(newPeerPolicy(p, external, s.own, listeners))
}

func (s *Server) policyConfig() Policy { return s.policy.Load().Policy }

// Revoke closes the allocations that the session has now, after the given time.
// With after zero it closes them at once, and every credential minted for the
// session so far makes no more: for sessions that ended or were banned.
func (s *Server) Revoke(session protocol.SessionID, after time.Duration) {
	user := string(session)
	if after <= 0 {
		s.bar(user)
	}
	if !s.perUser.holds(user) { // most sessions end without relays
		return
	}
	found := s.relays.list(func(a *allocation) bool { return a.who.user == user })
	end := func() {
		for _, a := range found {
			a.end(endRevoked)
		}
	}
	if after <= 0 {
		end()
	} else {
		s.later(after, end)
	}
}

// later calls f after d unless the server is closed before.
func (s *Server) later(d time.Duration, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateRunning {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		s.mu.Lock()
		delete(s.timers, t)
		s.mu.Unlock()
		f()
	})
	s.timers[t] = struct{}{}
}

// bar voids the credentials that a user has. Those minted later expire later.
func (s *Server) bar(user string) {
	now := s.cfg.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.swept) > s.cfg.CredentialTTL {
		s.swept = now
		maps.DeleteFunc(s.cut, func(_ string, until time.Time) bool { return now.After(until) })
	}
	s.cut[user] = now.Add(s.cfg.CredentialTTL)
}

// barred reports whether an authentic credential may not be used: it expired
// (which matters to Allocate alone), or it was revoked.
func (s *Server) barred(id identity, m method, now time.Time) bool {
	if m == methodAllocate && now.After(id.expiry) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.cut[id.user]
	return ok && !id.expiry.After(until)
}

// indicationID makes a transaction id for an indication, which nobody answers.
func (s *Server) indicationID() (tid [tidBytes]byte) {
	binary.BigEndian.PutUint64(tid[:], rand.Uint64())
	binary.BigEndian.PutUint32(tid[8:], rand.Uint32())
	return tid
}

// Drain refuses new allocations and waits until there are none, or until ctx
// ends, whose error it then returns. STUN goes on.
func (s *Server) Drain(ctx context.Context) error {
	s.draining.Store(true)
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for s.relays.len() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
			return nil
		case <-tick.C:
		}
	}
	return nil
}

const drainPoll = 100 * time.Millisecond

// Close ends all allocations, connections and listeners and waits for their
// goroutines.
func (s *Server) Close() error {
	s.mu.Lock()
	was := s.state
	s.state = stateClosed
	for t := range s.timers {
		t.Stop()
	}
	clear(s.timers)
	s.mu.Unlock()
	if was == stateClosed {
		return nil
	}
	close(s.done)
	s.closeListeners()
	s.conns.closeAll()
	for _, a := range s.relays.list(func(*allocation) bool { return true }) {
		a.end(endReleased)
	}
	if s.pion != nil {
		s.pion.Close()
		s.metrics.unregister(s.cfg.Registerer)
	}
	s.running.Wait()
	s.freeListeners()
	return nil
}

func (s *Server) freeListeners() {
	for _, l := range s.udp {
		l.free()
	}
}

func (s *Server) closeListeners() {
	for _, l := range s.udp {
		l.close()
	}
	for _, l := range s.streams {
		l.ln.Close()
	}
}

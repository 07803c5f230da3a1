package turnserver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// ExternalServer is a STUN or TURN server besides the embedded one.
type ExternalServer struct {
	// URLs as RFC 7064 and RFC 7065 have them: "stun:host:port",
	// "turn:host:port?transport=udp", "turns:host:port?transport=tcp".
	URLs []string
	// Username and Credential are given to every client as they are.
	Username, Credential string
	// Secret, when it has a key, mints a credential for each session instead;
	// coturn calls it static-auth-secret. TTL is that of Config.CredentialTTL.
	Secret Secret
}

func (e ExternalServer) validate() error {
	if len(e.URLs) == 0 {
		return errors.New("an external server without URL")
	}
	for _, u := range e.URLs {
		scheme, rest, _ := strings.Cut(u, ":")
		switch scheme {
		case "turn", "turns", "stun", "stuns":
		default:
			return fmt.Errorf("external server %q: want a stun:, stuns:, turn: or turns: URL", u)
		}
		if rest == "" || strings.HasPrefix(rest, "//") || strings.ContainsAny(rest, "@ \t\r\n") {
			return fmt.Errorf("external server %q: want %s:host:port", u, scheme)
		}
	}
	minted := len(e.Secret.Key) > 0
	if minted {
		if err := e.Secret.validate(); err != nil {
			return fmt.Errorf("external server %q: %w", e.URLs[0], err)
		}
	}
	if e.turn() && !minted && (e.Username == "" || e.Credential == "") {
		return fmt.Errorf("external server %q: TURN needs a username and credential, or a secret", e.URLs[0])
	}
	return nil
}

// turn reports whether it is more than a STUN server.
func (e ExternalServer) turn() bool {
	return slices.ContainsFunc(e.URLs, func(u string) bool { return strings.HasPrefix(u, "turn") })
}

// ICE returns what a client of the session needs for its peer connections: the
// embedded server first, then the others, with fresh credentials. The policy is
// "relay" when Policy.Mode lets relays reach only relays, else "all".
func (s *Server) ICE(session protocol.SessionID, now time.Time) protocol.ICE {
	ice := protocol.ICE{Servers: []protocol.ICEServer{}, TTLMS: s.cfg.CredentialTTL.Milliseconds(), Policy: "all"}
	if s.policyConfig().Mode == ModeRelayOnly {
		ice.Policy = "relay"
	}
	if stun, turn := s.urls(); len(turn) > 0 {
		username, credential, _ := s.Mint(session, now)
		ice.Servers = append(ice.Servers,
			protocol.ICEServer{URLs: stun},
			protocol.ICEServer{URLs: turn, Username: username, Credential: credential})
	}
	for _, e := range s.cfg.Servers {
		server := protocol.ICEServer{URLs: slices.Clone(e.URLs), Username: e.Username, Credential: e.Credential}
		if len(e.Secret.Key) > 0 {
			server.Username, server.Credential = e.Secret.mint(session, now.Add(s.cfg.CredentialTTL))
		}
		ice.Servers = append(ice.Servers, server)
	}
	return ice
}

// urls lists the embedded server's URLs: every port of every transport once, a web
// server's last.
func (s *Server) urls() (stun, turn []string) {
	var shared []string
	for _, host := range s.hosts() {
		for _, l := range s.listening() {
			at := net.JoinHostPort(host, strconv.Itoa(int(l.Addr.Port())))
			switch l.Transport {
			case "udp":
				stun = appendOnce(stun, "stun:"+at)
				turn = appendOnce(turn, "turn:"+at+"?transport=udp")
			case "tcp":
				turn = appendOnce(turn, "turn:"+at+"?transport=tcp")
			case "tls":
				turn = appendOnce(turn, "turns:"+at+"?transport=tcp")
			case transportHTTPS:
				shared = appendOnce(shared, "turns:"+at+"?transport=tcp")
			}
		}
	}
	return stun, append(turn, shared...)
}

// hosts are Config.Host or, without it, the external addresses.
func (s *Server) hosts() (hosts []string) {
	if s.cfg.Host != "" {
		return []string{strings.Trim(s.cfg.Host, "[]")}
	}
	for _, r := range s.relayAddrs {
		hosts = append(hosts, r.public.String())
	}
	return hosts
}

func appendOnce(list []string, v string) []string {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

// hostWarnings says what is wrong with the URLs that clients get.
func (c *Config) hostWarnings() (list []string) {
	if c.ExternalOnly {
		for _, e := range c.Servers {
			if e.turn() {
				return nil
			}
		}
		return []string{"TURN: the embedded server is off and no other TURN server is set: people behind strict firewalls or NATs cannot call."}
	}
	if !c.tls() {
		return nil
	}
	if c.Host == "" {
		return []string{"TURN: TLS is on but no TURN host is set: Firefox ignores turns: URLs with an IP address. Set the TURN host to a name that the certificate has."}
	}
	if _, err := netip.ParseAddr(strings.Trim(c.Host, "[]")); err == nil {
		return []string{"TURN: TLS is on but the TURN host is an IP address: Firefox ignores turns: URLs with one. Set it to a name that the certificate has."}
	}
	return nil
}

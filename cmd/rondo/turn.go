package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/server"
	"github.com/rondo-chat/rondo/turnserver"
)

// relayGrace is how long the relays of a session that ended live on: its
// partner's picture should not freeze before the page says why.
const relayGrace = 30 * time.Second

// openTURN makes the relay server.
func (n *node) openTURN() error {
	tc := n.cfg.TURN
	cfg := turnserver.Config{
		Listen: tc.Listen, TLSListen: tc.TLSListen, ExternalIPs: tc.ExternalIPs, Host: tc.Host, Realm: tc.Realm,
		RelayPorts:   turnserver.PortRange(tc.RelayPorts),
		Policy:       turnserver.Policy{Allow: tc.Allow, Deny: tc.Deny},
		Limits:       turnserver.Limits{Bandwidth: int64(tc.Bandwidth)},
		GSO:          turnserver.GSO(tc.GSO),
		ExternalOnly: !n.cfg.relays(), Logger: n.log, Registerer: n.metrics.Registerer(),
	}
	if tc.RelayOnly {
		cfg.Policy.Mode = turnserver.ModeRelayOnly
	}
	if cfg.Host == "" && len(n.cfg.ACMEDomains) > 0 {
		cfg.Host = n.cfg.ACMEDomains[0]
	}
	if n.certs.enabled() {
		cfg.TLS, cfg.Shared = n.certs.config(), n.cfg.sharesHTTPS()
	}
	shared, err := readSecrets(tc.Secrets)
	if err != nil {
		return err
	}
	own := turnserver.Secret{ID: "r1", Key: n.signer.Key("turn credentials")}
	cfg.Secrets = append([]turnserver.Secret{own}, shared...)
	if cfg.Servers, err = otherServers(tc.Servers, append(shared, own)[0]); err != nil {
		return err
	}
	if n.turn, err = turnserver.New(cfg); err != nil {
		return fmt.Errorf("turn: %w", err)
	}
	if n.cfg.relays() {
		n.health.AddCheck("turn", n.turn.Ready)
	}
	return nil
}

// offerTURN tells sessions of the relay server and of others.
func (n *node) offerTURN(sc *server.Config) {
	sc.ICE = func(id protocol.SessionID) *protocol.ICE {
		ice := n.turn.ICE(id, time.Now())
		return &ice
	}
	sc.Revoke = func(id protocol.SessionID) { n.turn.Revoke(id, relayGrace) }
}

// readSecrets reads static-auth secrets, one from each file.
func readSecrets(files []string) ([]turnserver.Secret, error) {
	var out []turnserver.Secret
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("turn-secret-files: %w", err)
		}
		out = append(out, turnserver.Secret{Key: bytes.TrimSpace(data)})
	}
	return out, nil
}

// otherServers are the STUN and TURN servers of the setting turn-server. They know
// the secret: nodes of ours with the role turn know our own.
func otherServers(urls []string, secret turnserver.Secret) ([]turnserver.ExternalServer, error) {
	var out []turnserver.ExternalServer
	for _, u := range urls {
		other := turnserver.ExternalServer{URLs: []string{u}}
		switch {
		case strings.HasPrefix(u, "stun:"), strings.HasPrefix(u, "stuns:"):
		case strings.HasPrefix(u, "turn:"), strings.HasPrefix(u, "turns:"):
			other.Secret = secret
		default:
			return nil, fmt.Errorf("%w: turn-server: %q is no STUN or TURN URL such as turn:relay.example.org", errUsage, u)
		}
		out = append(out, other)
	}
	return out, nil
}

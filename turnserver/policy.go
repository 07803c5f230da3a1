package turnserver

import (
	"fmt"
	"net/netip"

	"github.com/rondo-chat/rondo/internal/address"
)

// Mode says which peers a relay may reach.
type Mode string

// Modes.
const (
	// ModePublic: addresses of the public Internet, and relays of this server.
	ModePublic Mode = "public"
	// ModeRelayOnly: only relays of this server (and what Allow names, for the
	// relays of other nodes). For deployments whose clients are all told to use
	// relays (iceTransportPolicy "relay").
	ModeRelayOnly Mode = "relay_only"
)

// Policy says where relays may send and from where they take. In every mode a
// relay reaches the live relays of this server, within the process. All else
// that is this machine's own is out of reach unless Allow names it, and the
// server's own listeners even then.
type Policy struct {
	Mode  Mode           // default ModePublic
	Allow []netip.Prefix // reachable although private, own or against the mode
	Deny  []netip.Prefix // never reachable; wins over Allow
}

func (p Policy) validate() error {
	if p.Mode != ModePublic && p.Mode != ModeRelayOnly {
		return fmt.Errorf("unknown mode %q", p.Mode)
	}
	for _, list := range [][]netip.Prefix{p.Allow, p.Deny} {
		for _, c := range list {
			if !c.IsValid() {
				return fmt.Errorf("invalid CIDR range %v", c)
			}
		}
	}
	return nil
}

// denial is why a peer may not be reached; "" means it may.
type denial string

const (
	allowed       denial = ""
	denyList      denial = "deny_list"
	denyOwn       denial = "own_address"
	denyMode      denial = "relay_only"
	denyPrivate   denial = "not_public"
	denyPort      denial = "port"
	denyBandwidth denial = "bandwidth"
)

// peerPolicy decides about peers. It is never changed, only replaced, so that a
// pointer to it tells which rules a cached decision was made by.
type peerPolicy struct {
	Policy
	external  map[netip.Addr]bool // where our relays live
	own       map[netip.Addr]bool // every address of this machine
	listeners map[uint16]bool
}

func newPeerPolicy(p Policy, external, own []netip.Addr, listeners []uint16) *peerPolicy {
	pp := &peerPolicy{Policy: p, external: map[netip.Addr]bool{}, own: map[netip.Addr]bool{}, listeners: map[uint16]bool{}}
	pp.Allow, pp.Deny = unmapAll(p.Allow), unmapAll(p.Deny)
	for _, a := range own {
		pp.own[a.Unmap().WithZone("")] = true
	}
	for _, a := range external {
		pp.external[a.Unmap()], pp.own[a.Unmap()] = true, true
	}
	for _, port := range listeners {
		pp.listeners[port] = true
	}
	return pp
}

func unmapAll(list []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, c := range list {
		out = append(out, address.UnmapPrefix(c))
	}
	return out
}

// permit decides about a permission, which is for every port of an address: the
// address of our relays is fine, and sendable decides about each port.
func (p *peerPolicy) permit(a netip.Addr) denial {
	if p.external[a.Unmap()] {
		return allowed
	}
	return p.address(a)
}

// sendable decides about a datagram to or from a peer that is not a relay of ours.
func (p *peerPolicy) sendable(peer netip.AddrPort) denial {
	a := peer.Addr().Unmap()
	if d := p.address(a); d != allowed {
		return d
	}
	if p.own[a] && p.listeners[peer.Port()] {
		return denyOwn
	}
	if deniedPort(peer.Port()) {
		return denyPort
	}
	return allowed
}

func (p *peerPolicy) address(a netip.Addr) denial {
	a = a.Unmap()
	switch {
	case !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a == broadcast:
		return denyPrivate
	case within(p.Deny, a):
		return denyList
	case within(p.Allow, a):
		return allowed
	case p.own[a]:
		return denyOwn
	case p.Mode == ModeRelayOnly:
		return denyMode
	case !address.Public(a):
		return denyPrivate
	}
	return allowed
}

// deniedPort reports ports where no call is but services that answer with more
// than they were asked: the well-known ones, SSDP, WS-Discovery, mDNS, memcached.
func deniedPort(port uint16) bool {
	switch port {
	case 1900, 3702, 5353, 11211:
		return true
	}
	return port < 1024
}

func within(list []netip.Prefix, a netip.Addr) bool {
	for _, c := range list {
		if c.Contains(a) {
			return true
		}
	}
	return false
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

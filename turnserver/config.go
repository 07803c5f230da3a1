package turnserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// PortRange is a range of UDP ports, both ends included.
type PortRange struct{ Low, High uint16 }

func (r PortRange) size() int { return int(r.High) - int(r.Low) + 1 }

// GSO says whether packets of one size to one address are handed to the system as
// one that it, or the network card, cuts up (generic segmentation offload, Linux).
type GSO string

// Values of GSO.
const (
	GSOAuto GSO = "auto" // where the system does it; sockets that refuse it go on without
	GSOOff  GSO = "off"  // never: for network drivers that do it wrong
)

// Config of a Server. The zero value of a field means the default it names.
type Config struct {
	// Listen holds host:port addresses for UDP and TCP, default ":3478". An
	// empty host means all addresses, IPv4 and IPv6. Port 0 takes a free port,
	// the same for UDP and TCP.
	Listen []string
	// TLSListen holds host:port addresses for TLS. Default ":5349" when TLS or
	// GetCertificate is set and there is no shared port, else none.
	TLSListen []string
	// Shared says that Share will give the server a port. With it and one of its
	// own for TLS clients would try five ways, at which Firefox warns of slowness.
	Shared bool
	// TLS, or GetCertificate alone, gives the certificate. TLS 1.2 is the least.
	TLS            *tls.Config
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	// ExternalIPs are the addresses under which clients reach this machine, at
	// most one IPv4 and one IPv6. Default: detected from the interfaces; see
	// Server.Warnings.
	ExternalIPs []netip.Addr
	// RelayPorts default to 49152-65535.
	RelayPorts PortRange
	// Host stands in the URLs given to clients. Default: the external IPs. URLs
	// with "turns:" need a host name that the certificate has.
	Host string
	// Realm of the long-term credentials, default "rondo". It is in every 401.
	Realm string

	// Secrets verify credentials; the first one mints. Default: a random one,
	// which no other node knows and a restart forgets.
	Secrets []Secret
	// CredentialTTL is how long a minted credential can make allocations,
	// default 10 minutes. Allocations that exist outlive it.
	CredentialTTL time.Duration
	// MaxSession is how long one allocation can be refreshed, default 12 hours.
	MaxSession time.Duration

	// Policy says which peers relays may reach.
	Policy Policy
	// Limits bounds what clients can take.
	Limits Limits
	// Workers is how many sockets and goroutines share each UDP port, on Linux.
	// Default: half the number of CPUs, at most 8: fewer read more at a time. A
	// client stays with one of them.
	Workers int
	// SocketBuffer is the size of the listeners' UDP socket buffers in bytes,
	// default 4 MiB.
	SocketBuffer int
	// GSO defaults to GSOAuto. Other systems than Linux have none.
	GSO GSO

	// Servers are other STUN and TURN servers that clients are told of.
	Servers []ExternalServer
	// ExternalOnly leaves the embedded server out: nothing listens, clients are
	// told of Servers only, or, without any, of none.
	ExternalOnly bool

	// Logger gets few lines, none about single clients above Debug. Default: none.
	Logger *slog.Logger
	// Registerer gets the metrics rondo_turn_…. Default: none.
	Registerer prometheus.Registerer

	// For tests.
	now         func() time.Time
	lastChannel uint16 // coturn's test client still uses RFC 5766's range
	portable    bool   // no data plane for this system
}

// withDefaults returns a copy of c, complete and checked.
func (c Config) withDefaults() (Config, error) {
	if len(c.Listen) == 0 {
		c.Listen = []string{":3478"}
	}
	if c.tls() && !c.Shared && len(c.TLSListen) == 0 {
		c.TLSListen = []string{":5349"}
	}
	def(&c.RelayPorts, PortRange{49152, 65535})
	def(&c.Realm, "rondo")
	def(&c.CredentialTTL, 10*time.Minute)
	def(&c.MaxSession, 12*time.Hour)
	def(&c.SocketBuffer, 4<<20)
	def(&c.GSO, GSOAuto)
	def(&c.Workers, min((runtime.GOMAXPROCS(0)+1)/2, 8))
	def(&c.Policy.Mode, ModePublic)
	if len(c.Secrets) == 0 {
		c.Secrets = []Secret{randomSecret()}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	def(&c.lastChannel, lastChannel)
	if err := c.validate(); err != nil {
		return c, fmt.Errorf("turnserver: %w", err)
	}
	c.Limits.setDefaults(c.RelayPorts.size())
	return c, nil
}

func (c *Config) tls() bool { return c.TLS != nil || c.GetCertificate != nil }

func (c *Config) validate() error {
	if c.RelayPorts.Low < 1024 || c.RelayPorts.High < c.RelayPorts.Low {
		return fmt.Errorf("relay ports %d-%d: want a range within 1024-65535", c.RelayPorts.Low, c.RelayPorts.High)
	}
	if len(c.TLSListen) > 0 && !c.tls() {
		return errors.New("TLS listeners need a certificate")
	}
	if c.Realm == "" || len(c.Realm) > 127 || strings.ContainsAny(c.Realm, "\"\x00\r\n") {
		return fmt.Errorf("realm %q: want 1 to 127 bytes without quotes and line breaks", c.Realm)
	}
	if c.CredentialTTL < 0 || c.MaxSession < 0 || c.SocketBuffer < 0 || c.Workers < 0 {
		return errors.New("a duration, size or number is negative")
	}
	if c.GSO != GSOAuto && c.GSO != GSOOff {
		return fmt.Errorf("GSO %q: want %q or %q", c.GSO, GSOAuto, GSOOff)
	}
	if c.Host != "" && strings.ContainsAny(c.Host, "/?#@ \t\r\n") {
		return fmt.Errorf("host %q: want a host name or an IP address", c.Host)
	}
	if err := validateExternal(c.ExternalIPs); err != nil {
		return err
	}
	if err := validateSecrets(c.Secrets); err != nil {
		return err
	}
	if err := c.Policy.validate(); err != nil {
		return fmt.Errorf("peer policy: %w", err)
	}
	for _, s := range c.Servers {
		if err := s.validate(); err != nil {
			return err
		}
	}
	return nil
}

func validateExternal(list []netip.Addr) error {
	var v4, v6 int
	for _, a := range list {
		switch {
		case !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "":
			return fmt.Errorf("external address %v cannot be reached by clients", a)
		case a.Unmap().Is4():
			v4++
		default:
			v6++
		}
	}
	if v4 > 1 || v6 > 1 {
		return errors.New("more than one external address of a family")
	}
	return nil
}

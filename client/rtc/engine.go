package rtc

import (
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/protocol"
)

// EngineConfig is what all peers of an engine share.
type EngineConfig struct {
	// Loopback offers candidates of the loopback interface: for a server and
	// peers on one machine.
	Loopback bool
	// MDNS resolves the .local candidates of browsers that hide their
	// addresses. It costs a multicast socket a peer.
	MDNS bool
	// Settings changes the settings of pion at the end.
	Settings func(*webrtc.SettingEngine)
}

// Engine makes peers. It may be used from any goroutine.
type Engine struct {
	api *webrtc.API
}

// NewEngine makes an engine.
func NewEngine(cfg EngineConfig) (*Engine, error) {
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	interceptors := &interceptor.Registry{}
	if err := webrtc.RegisterDefaultInterceptors(media, interceptors); err != nil {
		return nil, err
	}
	var s webrtc.SettingEngine
	// Without these every relayed connection waits two seconds for a better one.
	s.SetHostAcceptanceMinWait(0)
	s.SetSrflxAcceptanceMinWait(0)
	s.SetPrflxAcceptanceMinWait(0)
	s.SetRelayAcceptanceMinWait(0)
	s.SetICETimeouts(5*time.Second, 15*time.Second, 2*time.Second)
	s.SetIncludeLoopbackCandidate(cfg.Loopback)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	if cfg.MDNS {
		s.SetICEMulticastDNSMode(ice.MulticastDNSModeQueryOnly)
	}
	if cfg.Settings != nil {
		cfg.Settings(&s)
	}
	return &Engine{api: webrtc.NewAPI(webrtc.WithMediaEngine(media),
		webrtc.WithInterceptorRegistry(interceptors), webrtc.WithSettingEngine(s))}, nil
}

// Match makes the peer of a match: with the match's roles, ICE servers and relay
// rule, and signals through c.
func (e *Engine) Match(c *client.Client, f client.Found, cfg Config) (*Peer, error) {
	cfg.Offerer = f.Offerer
	cfg.RelayOnly = cfg.RelayOnly || f.RelayOnly
	if f.ICE != nil {
		cfg.ICE = *f.ICE
	} else if w := c.Welcome(); w.ICE != nil {
		cfg.ICE = *w.ICE
	}
	room := f.Room
	cfg.Send = func(kind protocol.SignalKind, d any) error { return c.Send(room, "", kind, d) }
	return e.New(cfg)
}

// configuration turns the server's ICE object into pion's.
func configuration(cfg *Config) webrtc.Configuration {
	out := webrtc.Configuration{BundlePolicy: webrtc.BundlePolicyMaxBundle}
	for _, s := range cfg.ICE.Servers {
		out.ICEServers = append(out.ICEServers, webrtc.ICEServer{URLs: s.URLs, Username: s.Username, Credential: s.Credential})
	}
	if cfg.RelayOnly || cfg.ICE.Policy == "relay" {
		out.ICETransportPolicy = webrtc.ICETransportPolicyRelay
	}
	return out
}

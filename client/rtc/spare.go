package rtc

import (
	"github.com/pion/webrtc/v4"

	"github.com/rondo-chat/rondo/protocol"
)

// Spare is the connection of a peer whose match is still sought. It gathers its
// candidates meanwhile, relays included, so that they stand in the peer's first
// description.
type Spare struct {
	pc    *webrtc.PeerConnection
	relay bool
}

// Prepare makes a spare for a peer with the ICE servers of the welcome; relayOnly
// as the search asks. Who does not give it to New or Match in Config.Spare closes
// it; so should who waits for more than a minute, for its relays are allocations
// that the server counts.
func (e *Engine) Prepare(ice protocol.ICE, relayOnly bool) (*Spare, error) {
	c := configuration(&Config{ICE: ice, RelayOnly: relayOnly})
	c.ICECandidatePoolSize = 1
	pc, err := e.api.NewPeerConnection(c)
	if err != nil {
		return nil, err
	}
	return &Spare{pc, c.ICETransportPolicy == webrtc.ICETransportPolicyRelay}, nil
}

// Close lets go of the connection.
func (s *Spare) Close() error { return s.pc.GracefulClose() }

// connection takes the spare's connection, or makes one. A spare that gathered for
// another policy is closed: nothing of it may be told.
func (e *Engine) connection(cfg *Config) (*webrtc.PeerConnection, error) {
	c := configuration(cfg)
	if s := cfg.Spare; s != nil {
		if s.relay == (c.ICETransportPolicy == webrtc.ICETransportPolicyRelay) {
			return s.pc, nil
		}
		if err := s.Close(); err != nil {
			return nil, err
		}
	}
	return e.api.NewPeerConnection(c)
}

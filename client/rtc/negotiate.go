package rtc

import (
	"github.com/pion/webrtc/v4"

	"github.com/rondo-chat/rondo/protocol"
)

// Perfect negotiation, W3C webrtc-pc section 10.7, with one restriction: pion
// cannot roll an offer back, so our polite side never offers; it asks for a restart
// instead. Towards the other side nothing differs. All of this runs on the
// negotiation's goroutine.

type description struct {
	SDP string `json:"sdp"`
}

type candidate struct {
	Candidate *webrtc.ICECandidateInit `json:"candidate"`
}

// offer makes an offer, unless one is under way: then pion asks again when the
// negotiation is stable.
func (p *Peer) offer(o *webrtc.OfferOptions) error {
	if p.pc.SignalingState() != webrtc.SignalingStateStable {
		return nil
	}
	sd, err := p.pc.CreateOffer(o)
	if err != nil {
		return err
	}
	if err := p.pc.SetLocalDescription(sd); err != nil {
		return err
	}
	return p.cfg.Send(protocol.SignalOffer, description{sd.SDP})
}

// describe takes an offer or an answer.
func (p *Peer) describe(sd webrtc.SessionDescription) error {
	stable := p.pc.SignalingState() == webrtc.SignalingStateStable
	p.ignoreOffer = sd.Type == webrtc.SDPTypeOffer && !stable
	if p.ignoreOffer {
		return nil // ours stands: the other side is polite and takes its own back
	}
	if sd.Type == webrtc.SDPTypeAnswer && stable {
		return nil // to nothing we asked
	}
	if err := p.pc.SetRemoteDescription(sd); err != nil {
		return err
	}
	if err := p.flush(); err != nil {
		return err
	}
	if sd.Type == webrtc.SDPTypeOffer {
		if err := p.answer(); err != nil {
			return err
		}
	}
	if p.restartDue {
		p.restartDue = false
		return p.restart()
	}
	return nil
}

func (p *Peer) answer() error {
	sd, err := p.pc.CreateAnswer(nil)
	if err != nil {
		return err
	}
	if err := p.pc.SetLocalDescription(sd); err != nil {
		return err
	}
	return p.cfg.Send(protocol.SignalAnswer, description{sd.SDP})
}

// candidate takes a candidate; nil is the end of candidates.
func (p *Peer) candidate(c *webrtc.ICECandidateInit) error {
	switch {
	case c == nil || c.Candidate == "":
		return nil
	case p.pc.RemoteDescription() == nil:
		if len(p.waiting) < maxWaiting {
			p.waiting = append(p.waiting, *c)
		}
		return nil
	}
	if err := p.pc.AddICECandidate(*c); err != nil && !p.ignoreOffer {
		return err
	}
	return nil
}

// maxWaiting bounds the candidates that are kept for a description to come.
const maxWaiting = 256

// flush adds the candidates that came before their description.
func (p *Peer) flush() error {
	early := p.waiting
	p.waiting = nil
	for _, c := range early {
		if err := p.pc.AddICECandidate(c); err != nil {
			return err
		}
	}
	return nil
}

// sendCandidate passes on a candidate of ours; nil is the end.
func (p *Peer) sendCandidate(c *webrtc.ICECandidate) error {
	if c == nil {
		return p.cfg.Send(protocol.SignalCandidate, candidate{})
	}
	init := c.ToJSON()
	return p.cfg.Send(protocol.SignalCandidate, candidate{&init})
}

// restart restarts ICE, at once or when the negotiation under way is done; who is
// not the offerer asks for it.
func (p *Peer) restart() error {
	if !p.cfg.Offerer {
		return p.cfg.Send(protocol.SignalRestart, struct{}{})
	}
	if p.pc.SignalingState() != webrtc.SignalingStateStable {
		p.restartDue = true
		return nil
	}
	return p.offer(&webrtc.OfferOptions{ICERestart: true})
}

// maxRestarts is how often in a row a failed connection is tried again.
const maxRestarts = 3

// revive tries a failed connection again, a few times.
func (p *Peer) revive() error {
	if p.restarts++; p.restarts > maxRestarts {
		return nil
	}
	return p.restart()
}

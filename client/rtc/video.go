package rtc

import (
	"bytes"
	_ "embed"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
)

// clipFile is 2 s of VP8, 128x96, 10 frames a second, that starts with its only
// keyframe. Made by go run ./e2e/makeclip.
//
//go:embed clip.ivf
var clipFile []byte

const frameTime = time.Second / 10

// clipFrames returns the frames of the clip.
func clipFrames() ([][]byte, error) {
	r, _, err := ivfreader.NewWith(bytes.NewReader(clipFile))
	if err != nil {
		return nil, err
	}
	var frames [][]byte
	for {
		f, _, err := r.ParseNextFrame()
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return nil, err
		}
		frames = append(frames, f)
	}
}

// addClip adds the track that plays the clip once connected.
func (p *Peer) addClip() error {
	frames, err := clipFrames()
	if err != nil {
		return err
	}
	p.clip, err = webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "clip")
	if err != nil {
		return err
	}
	sender, err := p.pc.AddTrack(p.clip)
	if err != nil {
		return err
	}
	p.wg.Go(func() { p.watchRTCP(sender) })
	p.wg.Go(func() { p.play(frames) })
	return nil
}

// play sends the clip again and again; from its start, a keyframe, when the
// other side asks for one.
func (p *Peer) play(frames [][]byte) {
	select {
	case <-p.connected:
	case <-p.closed:
		return
	}
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-tick.C:
		case <-p.closed:
			return
		}
		select {
		case <-p.keyframe:
			i = 0
		default:
		}
		if err := p.clip.WriteSample(media.Sample{Data: frames[i%len(frames)], Duration: frameTime}); err == nil {
			p.counts.sent.Add(1)
		}
	}
}

// watchRTCP reads what the other side says about our video until the peer closes.
func (p *Peer) watchRTCP(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, pkt := range packets {
			switch pkt.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				select {
				case p.keyframe <- struct{}{}:
				default: // asked already
				}
			}
		}
	}
}

// counts is what a peer counts, from several goroutines.
type counts struct {
	sent                              atomic.Uint64
	packets, bytes, frames, keyframes atomic.Uint64
	audio                             atomic.Uint64
}

// Counts tells what a peer sent and received.
type Counts struct {
	FramesSent uint64
	Packets    uint64 // video packets received
	Bytes      uint64 // of their payload
	Frames     uint64 // video frames whose last packet came
	Keyframes  uint64 // among them, VP8 only
	Audio      uint64 // audio packets received
}

// Counts returns the counters now.
func (p *Peer) Counts() Counts {
	c := &p.counts
	return Counts{c.sent.Load(), c.packets.Load(), c.bytes.Load(), c.frames.Load(), c.keyframes.Load(), c.audio.Load()}
}

// receive counts what comes on a track until it ends.
func (p *Peer) receive(t *webrtc.TrackRemote) {
	if t.Kind() != webrtc.RTPCodecTypeVideo {
		for {
			if _, _, err := t.ReadRTP(); err != nil {
				return
			}
			p.counts.audio.Add(1)
		}
	}
	_ = p.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(t.SSRC())}}) // a lost one costs a second
	vp8 := t.Codec().MimeType == webrtc.MimeTypeVP8
	for {
		pkt, _, err := t.ReadRTP()
		if err != nil {
			return
		}
		p.count(pkt, vp8)
	}
}

func (p *Peer) count(pkt *rtp.Packet, vp8 bool) {
	p.counts.packets.Add(1)
	p.counts.bytes.Add(uint64(len(pkt.Payload)))
	if pkt.Marker {
		p.counts.frames.Add(1)
	}
	var h codecs.VP8Packet
	if !vp8 {
		return
	}
	// The first packet of a frame holds its header; bit 0 clear: a keyframe (RFC 6386, section 9.1).
	if frame, err := h.Unmarshal(pkt.Payload); err == nil && h.S == 1 && h.PID == 0 && len(frame) > 0 && frame[0]&1 == 0 {
		p.counts.keyframes.Add(1)
	}
}

// Package rtc holds the media side of a call for programs: a WebRTC peer on
// pion that negotiates over a client.Client as docs/protocol.md, section 7, says
// (perfect negotiation, trickle, ICE restart), so that bots, tests and load
// generators can call browsers and each other.
//
//	engine, err := rtc.NewEngine(rtc.EngineConfig{})
//	for ev := range c.Events() {
//		switch ev := ev.(type) {
//		case client.Found:
//			peer, err = engine.Match(c, ev, rtc.Config{Video: true})
//		case client.Signal:
//			peer.Handle(ev)
//		}
//	}
//
// A call begins sooner with a connection that Engine.Prepare made while its match
// was sought (Config.Spare).
//
// A peer sends a small clip as VP8 video and counts what it receives; it decodes
// nothing.
package rtc

package rooms_test

import (
	_ "github.com/pion/webrtc/v4" // want vendors
	_ "github.com/rondo-chat/rondo/internal/testenv"
	_ "github.com/rondo-chat/rondo/matchmaking" // want siblings
)

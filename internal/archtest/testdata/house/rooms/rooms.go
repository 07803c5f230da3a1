// Package rooms is a fixture.
package rooms

import (
	_ "os"

	_ "github.com/gorilla/websocket" // want vendors
	_ "github.com/redis/go-redis/v9" // want vendors
	_ "github.com/rondo-chat/rondo/bus"
	_ "github.com/rondo-chat/rondo/chat"             // want siblings
	_ "github.com/rondo-chat/rondo/chat/storetest"   // want siblings
	_ "github.com/rondo-chat/rondo/internal/testenv" // want floors
	_ "github.com/rondo-chat/rondo/protocol"
	_ "github.com/rondo-chat/rondo/server" // want floors
	_ "github.com/someone/something"       // want vendors
	. "strings"                            // want vendors
)

var _ = ToUpper("x")

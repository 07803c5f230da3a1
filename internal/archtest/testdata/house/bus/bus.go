// Package bus is a fixture.
package bus

import (
	_ "database/sql" // want vendors

	_ "github.com/pion/turn/v4"           // want vendors
	_ "github.com/rondo-chat/rondo/rooms" // want floors
)

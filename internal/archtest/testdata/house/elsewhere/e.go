// Package elsewhere stands on no floor.
package elsewhere

import _ "github.com/rondo-chat/rondo/protocol" // want floors

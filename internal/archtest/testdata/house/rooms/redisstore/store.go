// Package redisstore is a fixture: this is the vendor's room.
package redisstore

import (
	_ "github.com/redis/go-redis/v9"
	_ "github.com/rondo-chat/rondo/rooms"
)

// Package rediscachetest opens caches of conversations in Redis, for tests of packages that know no Redis.
package rediscachetest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/rediscache"
	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// Open returns the cache with this prefix in the server, each time for another node.
func Open(t testing.TB, s *testenv.RedisServer, prefix string) conversations.Cache {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Addr})
	t.Cleanup(func() { _ = client.Close() })
	c, err := rediscache.New(rediscall.Config{Client: client, Prefix: prefix, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Flush empties the server.
func Flush(t testing.TB, s *testenv.RedisServer) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer client.Close()
	if err := client.FlushAll(context.WithoutCancel(t.Context())).Err(); err != nil {
		t.Error(err)
	}
}

// Raw returns the least that reading these messages of a filled page can be: one command, nothing decoded.
func Raw(t testing.TB, s *testenv.RedisServer, prefix string, room protocol.RoomID, messages []protocol.ConvMessage) func() error {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Addr})
	t.Cleanup(func() { _ = client.Close() })
	fields := make([]string, len(messages))
	for i, m := range messages {
		fields[i] = strconv.FormatUint(m.Seq, 10)
	}
	return func() error {
		values, err := client.HMGet(t.Context(), prefix+"conv:{"+string(room)+"}:messages", fields...).Result()
		if err == nil && slices.Contains(values, nil) {
			err = errors.New("the page is not there")
		}
		return err
	}
}

package conversations_test

import (
	"fmt"
	"testing"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/conversations/cachetest"
	"github.com/rondo-chat/rondo/protocol"
)

func TestMemoryCache(t *testing.T) {
	cachetest.Run(t, func(t testing.TB) cachetest.Caches {
		c := newCache(t, conversations.MemoryCacheConfig{})
		return cachetest.Caches{Nodes: []conversations.Cache{c, c}}
	})
}

// TestMemoryCacheEvicts runs the suite where there is room for one conversation, and another pushes it out.
func TestMemoryCacheEvicts(t *testing.T) {
	cachetest.Run(t, func(t testing.TB) cachetest.Caches {
		c := newCache(t, conversations.MemoryCacheConfig{Conversations: 2})
		return cachetest.Caches{Nodes: []conversations.Cache{c, c}, Flush: func() {
			for i := range 2 {
				if _, _, _, err := c.Get(t.Context(), protocol.RoomID(fmt.Sprint("c_", i)), 1); err != nil {
					t.Error(err)
				}
			}
		}}
	})
}

func newCache(t testing.TB, cfg conversations.MemoryCacheConfig) *conversations.MemoryCache {
	t.Helper()
	c, err := conversations.NewMemoryCache(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestMemoryCacheBounds: the cache stays within its bytes, and lets go what was used last.
func TestMemoryCacheBounds(t *testing.T) {
	c := newCache(t, conversations.MemoryCacheConfig{Bytes: 100_000})
	get := func(i int) (bool, string) {
		t.Helper()
		_, found, lease, err := c.Get(t.Context(), protocol.RoomID(fmt.Sprint(i)), 1)
		if err != nil {
			t.Fatal(err)
		}
		return found, lease
	}
	n := conversations.Newest{Seq: 1, Messages: []protocol.ConvMessage{{Seq: 1, Text: string(make([]byte, 9000))}}}
	for i := range 100 {
		_, lease := get(i)
		if err := c.Fill(t.Context(), protocol.RoomID(fmt.Sprint(i)), lease, n); err != nil {
			t.Fatal(err)
		}
		get(0)
	}
	for i, want := range map[int]bool{0: true, 99: true, 95: true} {
		if found, _ := get(i); found != want {
			t.Errorf("%d is kept: %v", i, found)
		}
	}
	for i := 1; i < 89; i++ { // 10,000 bytes each
		if found, _ := get(i); found {
			t.Errorf("%d is kept", i)
		}
	}
	if _, err := conversations.NewMemoryCache(conversations.MemoryCacheConfig{Bytes: -1}); err == nil {
		t.Error("a negative bound is taken")
	}
}

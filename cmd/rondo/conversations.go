package main

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/rediscache"
	chatsql "github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/chat/wordlist"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/server"
)

// openConversations adds the conversations to sc, in the accounts' database.
func (n *node) openConversations(ctx context.Context, db *database.DB, sc *server.Config, limiter ratelimit.Limiter) error {
	if !n.cfg.Conversations {
		return nil
	}
	store := chatsql.New(db)
	if err := store.Migrate(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	out, pushKey, err := n.openEvents(store)
	if err != nil {
		return err
	}
	sc.Conversations = &server.Conversations{Store: store, Limiter: limiter, Sinks: out.Names(), Shown: out.Present, PushKey: pushKey}
	return n.openFiles(ctx, sc.Conversations)
}

// openConversationDrivers adds to c what conversations have beside their database.
func (n *node) openConversationDrivers(client redis.UniversalClient, limiter ratelimit.Limiter, c *server.Conversations) error {
	if err := n.openConversationCache(client, c); err != nil {
		return err
	}
	if err := n.openModerator(limiter, c); err != nil {
		return err
	}
	return n.openTranslator(client, limiter, c)
}

// openModerator adds to c what looks at texts.
func (n *node) openModerator(limiter ratelimit.Limiter, c *server.Conversations) error {
	if c == nil {
		return nil
	}
	some := func(perHour int) int {
		if perHour == 0 {
			return -1 // none
		}
		return perHour
	}
	m, err := wordlist.New(wordlist.Config{
		File: n.cfg.BlockedWords, Links: some(n.cfg.Links), GuestLinks: some(n.cfg.GuestLinks),
		Limiter: limiter, Logger: n.log, Registerer: n.metrics.Registerer(),
	})
	if err != nil {
		return fmt.Errorf("%w: chat-blocked-words: %w", errUsage, err)
	}
	c.Moderator = m
	return nil
}

// openConversationCache keeps the newest messages of busy conversations beside the database: in Redis, or
// without it in memory.
func (n *node) openConversationCache(client redis.UniversalClient, c *server.Conversations) (err error) {
	if c == nil {
		return nil
	}
	if client == nil {
		c.Cache, err = conversations.NewMemoryCache(conversations.MemoryCacheConfig{})
		return err
	}
	c.Cache, err = rediscache.New(rediscall.Config{Client: client, Prefix: n.cfg.RedisPrefix, Timeout: redisTimeout})
	return err
}

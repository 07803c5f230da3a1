// Package redismaster keeps a client of Sentinel at one master. When the client
// connects to another one, the connections to the old one are cut, subscriptions
// too. go-redis cuts those that wait in its pools only: a subscription at a
// master that hangs, or that was demoted and lives on, would stay there and
// deliver nothing.
package redismaster

import (
	"context"
	"net"
	"slices"
	"sync"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// Attach keeps the client, one of Sentinel, at one master. A hook that makes up
// connections, as redisbreaker does, must be attached before.
func Attach(client *redis.Client) { client.AddHook(&hook{}) }

type hook struct {
	mu    sync.Mutex
	addr  string     // of the master that was connected to last
	conns []net.Conn // to it; closed ones are dropped at the next dial
}

var _ redis.Hook = (*hook)(nil)

// DialHook implements redis.Hook.
func (h *hook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		for _, old := range h.keep(conn) {
			_ = old.Close() // closed by its user in the meantime: fine
		}
		return conn, nil
	}
}

// keep notes a connection and returns those to the master before it.
func (h *hook) keep(conn net.Conn) (old []net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns = slices.DeleteFunc(h.conns, closed)
	if addr := conn.RemoteAddr().String(); addr != h.addr {
		old, h.addr, h.conns = h.conns, addr, nil
	}
	h.conns = append(h.conns, conn)
	return old
}

// closed reports whether this side has closed the connection. It touches neither
// its bytes nor its deadlines.
func closed(conn net.Conn) bool {
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = c.NetConn()
	}
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}

// ProcessHook implements redis.Hook.
func (*hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (*hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

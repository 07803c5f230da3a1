package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/rooms"
	"github.com/rondo-chat/rondo/rooms/redisstore"
	"github.com/rondo-chat/rondo/rooms/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func single(t testing.TB) (redis.UniversalClient, *testenv.RedisServer) {
	server := testenv.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	return client, server
}

func newStore(t testing.TB, client redis.UniversalClient, prefix string) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(redisstore.Config{Config: rediscall.Config{Client: client, Prefix: prefix, Timeout: 10 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// opener gives each test a prefix, and so an empty store, of its own.
func opener(client redis.UniversalClient) func(testing.TB) rooms.Store {
	var n atomic.Int32
	return func(t testing.TB) rooms.Store {
		return newStore(t, client, fmt.Sprintf("t%d:", n.Add(1)))
	}
}

func TestSingle(t *testing.T) {
	client, _ := single(t)
	storetest.Run(t, opener(client))
	everyKeyExpires(t, client)
}

func TestLosses(t *testing.T) {
	client, server := single(t)
	open := opener(client)
	storetest.RunLosses(t, func(t testing.TB) (rooms.Store, func() func(bool)) {
		return open(t), func() func(bool) { return save(t, server, client) }
	})
	everyKeyExpires(t, client)
}

// save returns a function that brings Redis back to what it holds now; if fresh,
// it is another server then as far as one can see, as after a fail-over.
func save(t testing.TB, server *testenv.RedisServer, client redis.UniversalClient) func(fresh bool) {
	t.Helper()
	ctx := t.Context()
	keys, err := client.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	saved := map[string]string{}
	for _, key := range keys {
		text, err := client.Dump(ctx, key).Result()
		if err != nil && err != redis.Nil {
			t.Fatal(err)
		}
		if err == nil {
			saved[key] = text
		}
	}
	return func(fresh bool) {
		t.Helper()
		if err := client.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		for key, text := range saved {
			if err := client.RestoreReplace(ctx, key, time.Hour, text).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if !fresh {
			return
		}
		for _, args := range [][]string{{"REPLICAOF", "127.0.0.1", "1"}, {"REPLICAOF", "NO", "ONE"}} {
			if answer, err := server.Do(args...); err != nil || answer != "OK" {
				t.Fatal(args, answer, err)
			}
		}
	}
}

func TestCluster(t *testing.T) {
	cluster := testenv.RedisCluster(t)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs})
	t.Cleanup(func() { _ = client.Close() })
	storetest.Run(t, opener(client))
	err := client.ForEachMaster(t.Context(), func(_ context.Context, master *redis.Client) error {
		if everyKeyExpires(t, master) == 0 {
			t.Errorf("%v holds no key: the rooms are not spread", master)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// everyKeyExpires fails the test if a key has no time to live: it would stay for
// ever if every node died now. It returns how many keys there are.
func everyKeyExpires(t *testing.T, client redis.UniversalClient) int {
	t.Helper()
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Error(err)
	}
	for _, key := range keys {
		if ttl, err := client.PTTL(t.Context(), key).Result(); err != nil || ttl <= 0 {
			t.Errorf("%s has no time to live: %v, %v", key, ttl, err)
		}
	}
	return len(keys)
}

func registry(t *testing.T, client redis.UniversalClient, node protocol.NodeID, timeout time.Duration) *rooms.Registry {
	t.Helper()
	s, err := redisstore.New(redisstore.Config{Config: rediscall.Config{Client: client, Timeout: timeout}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := rooms.New(rooms.Config{Store: s, Node: node, Key: []byte(strings.Repeat("k", 32)), Lease: 2 * time.Second, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAway: without Redis each call fails in time with a code that clients
// understand, and all is well once it is back, empty as it may be.
func TestAway(t *testing.T) {
	client, server := single(t)
	r := registry(t, client, "n1", time.Second)
	room, _, err := r.Create(t.Context(), protocol.RoomCreate{}, rooms.Member{Session: "s"})
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	start := time.Now()
	_, errGet := r.Get(t.Context(), room.ID)
	_, _, errJoin := r.Join(t.Context(), room.ID, rooms.Member{Session: "x"}, "")
	_, _, errCreate := r.Create(t.Context(), protocol.RoomCreate{}, rooms.Member{Session: "x"})
	_, _, errLeave := r.Leave(t.Context(), room.ID, "s")
	for _, err := range []error{errGet, errJoin, errCreate, errLeave} {
		if protocol.CodeOf(err) != protocol.CodeUnavailable {
			t.Errorf("without Redis: %v, want unavailable", err)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("four calls took %v to fail", took)
	}
	server.Restart()
	testenv.Eventually(t, 20*time.Second, func() bool {
		_, _, err := r.Create(t.Context(), protocol.RoomCreate{}, rooms.Member{Session: "x"})
		return err == nil
	}, "rooms can be made again")
	if _, _, err := r.Leave(t.Context(), room.ID, "s"); err != nil {
		t.Errorf("leaving a room that Redis lost: %v", err)
	}
}

// lossy drops the answers of scripts that Redis has executed.
type lossy struct {
	redis.Hook
	next func() bool // whether to lose this one
}

func (l lossy) DialHook(next redis.DialHook) redis.DialHook { return next }
func (l lossy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (l lossy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if strings.HasPrefix(cmd.Name(), "evalsha") && err == nil && l.next() {
			cmd.SetErr(context.DeadlineExceeded)
			return context.DeadlineExceeded
		}
		return err
	}
}

// TestLostAnswers: a change whose answer is lost is not made twice and is told
// of like any other.
func TestLostAnswers(t *testing.T) {
	client, _ := single(t)
	r := registry(t, client, "n1", 5*time.Second)
	if _, _, err := r.Create(t.Context(), protocol.RoomCreate{}, rooms.Member{Session: "s"}); err != nil {
		t.Fatal(err) // and the scripts are loaded
	}
	var lose atomic.Bool
	client.AddHook(lossy{next: func() bool { return lose.CompareAndSwap(true, false) }})
	step := func(what string, version uint64, f func() (rooms.Room, error)) {
		t.Helper()
		lose.Store(true)
		room, err := f()
		if err != nil || room.Version != version {
			t.Fatalf("%s: version %d, %v, want version %d", what, room.Version, err, version)
		}
	}
	var room rooms.Room
	step("create", 1, func() (_ rooms.Room, err error) {
		room, _, err = r.Create(t.Context(), protocol.RoomCreate{}, rooms.Member{Session: "s"})
		return room, err
	})
	step("join", 2, func() (rooms.Room, error) {
		room, m, err := r.Join(t.Context(), room.ID, rooms.Member{Session: "x"}, "")
		if m.ID != "2" {
			t.Errorf("joined as %+v", m)
		}
		return room, err
	})
	step("away", 3, func() (rooms.Room, error) { return r.SetAway(t.Context(), room.ID, "x", true) })
	step("leave", 4, func() (rooms.Room, error) {
		room, gone, err := r.Leave(t.Context(), room.ID, "x")
		if gone.Session != "x" {
			t.Errorf("left: %+v", gone)
		}
		return room, err
	})
}

func TestConfig(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer client.Close()
	for name, cfg := range map[string]redisstore.Config{
		"no client": {},
		"prefix":    {Config: rediscall.Config{Client: client, Prefix: "a{b}"}},
		"timeout":   {Config: rediscall.Config{Client: client, Timeout: -1}},
		"ttl":       {Config: rediscall.Config{Client: client}, TTL: time.Minute},
	} {
		if _, err := redisstore.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

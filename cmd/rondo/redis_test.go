package main

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/internal/testenv"
)

// TestAwaitRedis: Redis may come up after the node; a refusal ends the wait.
func TestAwaitRedis(t *testing.T) {
	server := testenv.Redis(t)
	server.Kill()
	client, err := newRedis(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	up := make(chan error, 1)
	go func() { up <- awaitRedis(t.Context(), client) }()
	select {
	case err := <-up:
		t.Fatalf("no wait for a server that is not there: %v", err)
	case <-time.After(time.Second):
	}
	server.Restart()
	if err := <-up; err != nil {
		t.Errorf("the server is there: %v", err)
	}
	if _, err := server.Do("CONFIG", "SET", "requirepass", "secret"); err != nil {
		t.Fatal(err)
	}
	locked := redis.NewClient(&redis.Options{Addr: server.Addr})
	defer locked.Close()
	start := time.Now()
	if err := awaitRedis(t.Context(), locked); err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("a wrong password: %v after %v", err, time.Since(start))
	}
}

func TestRedisURLs(t *testing.T) {
	for url, sentinel := range map[string]bool{
		"redis://a:6379/0": false, "rediss://a:6379/0": false, "redis://a:6379?addr=b:6379": false, "redis+cluster://a:6379": false,
		"redis+sentinel://a:26379?addr=b:26379&master_name=m": true, "rediss+sentinel://a:26379?master_name=m": true,
	} {
		client, err := newRedis(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		client.Close()
		if isSentinel(url) != sentinel {
			t.Errorf("%s: sentinel %v", url, !sentinel)
		}
	}
	for _, url := range []string{"localhost:6379", "redis+moon://a:6379", "redis://a:6379/x?nope=1"} {
		if client, err := newRedis(url); err == nil {
			client.Close()
			t.Errorf("%s is accepted", url)
		}
	}
}

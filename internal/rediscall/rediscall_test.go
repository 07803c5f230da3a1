package rediscall

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/protocol"
)

func TestError(t *testing.T) {
	if Error(nil) != nil || Error(redis.Nil) != nil {
		t.Error("no error became one")
	}
	err := Error(io.EOF)
	shown, ok := errors.AsType[*protocol.Error](err)
	if !ok || shown.Code != protocol.CodeUnavailable || shown.Retry != Retry || !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	if shown.Msg != "the service is unavailable for the moment" {
		t.Errorf("clients are shown %q", shown.Msg)
	}
}

func TestConfig(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer client.Close()
	c := Config{Client: client}
	if err := c.Validate("x"); err != nil || c.Prefix != "rondo:" || c.Timeout != DefaultTimeout {
		t.Errorf("%+v, %v", c, err)
	}
	for _, c := range []Config{{}, {Client: client, Prefix: "{"}, {Client: client, Timeout: -time.Second}} {
		if err := c.Validate("x"); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

package testenv

import (
	"net"
	"testing"
	"time"
)

// TestMosquitto: it is there, gone, and there again at the same address. RabbitMQ takes long; the
// test of its driver does the same with it.
func TestMosquitto(t *testing.T) {
	b := Mosquitto(t)
	there := func() bool {
		c, err := net.DialTimeout("tcp", b.Addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	if !there() {
		t.Fatal("not there")
	}
	b.Stop()
	if there() {
		t.Fatal("there after Stop")
	}
	b.Start()
	if !there() {
		t.Fatal("not there after Start")
	}
}

package holdable

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"testing"
)

// TestHeldTLS: of two texts that came at once the second is there without reading, then
// nothing is, and after that the connection goes on.
func TestHeldTLS(t *testing.T) {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := tls.NewListener(Listener{inner}, srv.TLS)
	defer l.Close()
	sent := make(chan struct{})
	go func() {
		c, err := tls.Dial("tcp", inner.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "first") // the server's reading tells
		<-sent
		_, _ = io.WriteString(c, "second")
		<-sent
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h, ok := Under(c)
	if !ok {
		t.Fatal("nothing holdable is under it")
	}
	b := make([]byte, 2)
	if n, err := c.Read(b); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	h.Hold(true)
	if n, err := io.ReadFull(c, make([]byte, 3)); n != 3 || err != nil {
		t.Fatalf("what was decrypted: %d, %v", n, err)
	}
	for range 2 {
		if n, err := c.Read(b); n != 0 || !errors.Is(err, ErrHeld) {
			t.Fatal(n, err)
		}
	}
	h.Hold(false)
	sent <- struct{}{}
	if n, err := io.ReadFull(c, make([]byte, 6)); n != 6 || err != nil {
		t.Fatalf("after it was held: %d, %v", n, err)
	}
	close(sent)
}

// Package holdable makes connections whose reading can be held: under TLS one then
// sees whether something was decrypted, or could be, without waiting for more to come,
// and so whether it suffices to wait for the socket.
package holdable

import (
	"errors"
	"net"
	"syscall"
)

// Listener makes the connections of a listener holdable.
type Listener struct{ net.Listener }

// Accept implements net.Listener.
func (l Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		return &Conn{TCPConn: tcp}, err
	}
	return c, err
}

// Conn is a TCP connection whose reading can be held.
type Conn struct {
	*net.TCPConn
	held bool
}

// Hold lets Read return ErrHeld instead of reading, or read again. It is for whoever
// reads.
func (c *Conn) Hold(yes bool) { c.held = yes }

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	if c.held {
		return 0, ErrHeld
	}
	return c.TCPConn.Read(b)
}

// ErrHeld is what Read returns while reading is held. It is a net.Error that is
// temporary, after which TLS goes on as if nothing had been.
var ErrHeld error = &heldError{errors.New("holdable: reading is held")}

type heldError struct{ error }

func (*heldError) Timeout() bool   { return true }
func (*heldError) Temporary() bool { return true }

// Under finds the holdable connection under one of TLS.
func Under(c net.Conn) (*Conn, bool) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		h, ok := t.NetConn().(*Conn)
		return h, ok
	}
	return nil, false
}

var _ syscall.Conn = (*Conn)(nil)

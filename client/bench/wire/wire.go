// Package wire is the lean client of measurements: one buffer to read, one write to
// send, frames and nothing else. A server and the reference that it is compared with
// are loaded by the same code; they differ in how a frame begins.
package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
)

// Framing is how a frame begins.
type Framing int

// The framings.
const (
	Length    Framing = iota // four bytes, big-endian: how long it is
	WebSocket                // RFC 6455, text, whole messages only
)

// maxFrame bounds what a server may send.
const maxFrame = 4 << 20

// bufferBytes holds a burst of frames, so that one read takes it.
const bufferBytes = 32 << 10

// Conn is a connection whose messages are frames. One goroutine may read, one write.
type Conn struct {
	net.Conn
	Framing Framing

	r     *bufio.Reader // nil until something is read: idle connections have none
	frame []byte        // of the last Read
}

// From dials from the i-th address of 127.0.0.0/8, for servers limit what one address may do. Negative: any.
func From(i int) *net.Dialer {
	if i < 0 {
		return &net.Dialer{Timeout: 20 * time.Second}
	}
	ip := net.IPv4(127, byte(1+i/62_500), byte(i/250%250), byte(i%250+1))
	return &net.Dialer{Timeout: 20 * time.Second, LocalAddr: &net.TCPAddr{IP: ip}}
}

// DialLength connects to a reference; conf is nil without TLS.
func DialLength(ctx context.Context, addr string, i int, conf *tls.Config) (*Conn, error) {
	c, err := From(i).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if conf != nil {
		t := tls.Client(c, conf)
		if err := t.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		c = t
	}
	return &Conn{Conn: c, Framing: Length}, nil
}

// DialWebSocket connects to a ws: or wss: URL with a subprotocol.
func DialWebSocket(ctx context.Context, to, subprotocol string, i int, conf *tls.Config) (*Conn, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	d := websocket.Dialer{HandshakeTimeout: 20 * time.Second, NetDialContext: From(i).DialContext, TLSClientConfig: conf, ReadBufferSize: 1024, WriteBufferSize: 1024}
	if subprotocol != "" {
		d.Subprotocols = []string{subprotocol}
	}
	c, resp, err := d.DialContext(ctx, u.String(), http.Header{})
	if err != nil {
		if resp != nil {
			err = fmt.Errorf("%w: %s", err, resp.Status)
		}
		return nil, err
	}
	// Nothing is lost in gorilla's buffer: servers here speak when they are spoken to.
	return &Conn{Conn: c.NetConn(), Framing: WebSocket}, nil
}

// Append adds a frame with payload to dst.
func (c *Conn) Append(dst, payload []byte) []byte {
	n := len(payload)
	if c.Framing == Length {
		return append(binary.BigEndian.AppendUint32(dst, uint32(n)), payload...)
	}
	const masked = 0x80
	dst = append(dst, 0x81) // final, text
	switch {
	case n < 126:
		dst = append(dst, masked|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, masked|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, masked|127), uint64(n))
	}
	const key = 0x9ac3_5f17 // a server unmasks any key at the same cost
	dst = binary.BigEndian.AppendUint32(dst, key)
	at := len(dst)
	dst = append(dst, payload...)
	mask(dst[at:], key)
	return dst
}

func mask(b []byte, key uint32) {
	wide := uint64(key)<<32 | uint64(key)
	for len(b) >= 8 {
		binary.BigEndian.PutUint64(b, binary.BigEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(key >> (24 - 8*(i%4)))
	}
}

// Send writes one frame.
func (c *Conn) Send(payload []byte) error {
	_, err := c.Write(c.Append(nil, payload))
	return err
}

// Next returns the next message, which is good until the next call.
func (c *Conn) Next() ([]byte, error) {
	if c.r == nil {
		c.r = bufio.NewReaderSize(c.Conn, bufferBytes)
	}
	for {
		n, op, err := c.header()
		if err != nil {
			return nil, err
		}
		if n > maxFrame {
			return nil, fmt.Errorf("wire: a frame of %d bytes", n)
		}
		if cap(c.frame) < n {
			c.frame = make([]byte, n, max(n, 2*cap(c.frame)))
		}
		c.frame = c.frame[:n]
		if _, err := io.ReadFull(c.r, c.frame); err != nil {
			return nil, err
		}
		switch op {
		case opText:
			return c.frame, nil
		case opClose:
			return nil, closed(c.frame)
		case opPing, opPong: // no server here pings by frames
		default:
			return nil, fmt.Errorf("wire: opcode %d", op)
		}
	}
}

// Buffered reports whether more than the last message has been read.
func (c *Conn) Buffered() bool { return c.r != nil && c.r.Buffered() > 0 }

// The opcodes of RFC 6455, section 5.2.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// header reads how long the next frame is, and what.
func (c *Conn) header() (n int, op byte, err error) {
	var h [8]byte
	if c.Framing == Length {
		if _, err := io.ReadFull(c.r, h[:4]); err != nil {
			return 0, 0, err
		}
		return int(binary.BigEndian.Uint32(h[:4])), opText, nil
	}
	if _, err := io.ReadFull(c.r, h[:2]); err != nil {
		return 0, 0, err
	}
	if h[0]&0x80 == 0 || h[1]&0x80 != 0 {
		return 0, 0, errors.New("wire: a fragment or a masked frame of a server")
	}
	op, n = h[0]&0x0f, int(h[1])
	switch n {
	case 126:
		if _, err := io.ReadFull(c.r, h[:2]); err != nil {
			return 0, 0, err
		}
		n = int(binary.BigEndian.Uint16(h[:2]))
	case 127:
		if _, err := io.ReadFull(c.r, h[:8]); err != nil {
			return 0, 0, err
		}
		n = int(min(binary.BigEndian.Uint64(h[:8]), maxFrame+1))
	}
	return n, op, nil
}

// ErrClosed is a close frame of the server.
var ErrClosed = errors.New("wire: closed by the server")

func closed(payload []byte) error {
	if len(payload) < 2 {
		return ErrClosed
	}
	return fmt.Errorf("%w: %d %s", ErrClosed, binary.BigEndian.Uint16(payload), payload[2:])
}

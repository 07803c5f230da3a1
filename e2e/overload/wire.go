package overload

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rondo-chat/rondo/protocol"
)

// dialTime bounds a connection with its upgrade. It is longer than whatever the
// server may need, so that only a broken server lets it pass.
const dialTime = 20 * time.Second

// wire is a WebSocket client that costs next to nothing: thousands of them share
// two cores with the server. Frames are masked with zeros.
type wire struct {
	c net.Conn
	r *bufio.Reader
	b []byte // of what is being sent
}

// refused is an upgrade that the server refused.
type refused struct {
	status int
	retry  time.Duration
}

func (r *refused) Error() string {
	return fmt.Sprintf("refused with %d, retry in %v", r.status, r.retry)
}

// closed is the server's close frame.
type closed struct {
	code   protocol.CloseCode
	reason string
}

func (c *closed) Error() string { return fmt.Sprintf("closed with %d %s", c.code, c.reason) }

// dialer comes from the i-th address of 127.1.0.0/16, as lab.DialFrom; receive is
// the size of the kernel's receive buffer, 0 the system's.
func dialer(i, receive int) net.Dialer {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/250), byte(i%250+1))}}
	if receive > 0 {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			var err error
			if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receive) }); e != nil {
				return e
			}
			return err
		}
	}
	return d
}

// dial opens a WebSocket.
func dial(ctx context.Context, addr string, i, receive int) (*wire, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	d := dialer(i, receive)
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	w := &wire{c: c, r: bufio.NewReaderSize(c, 2048)}
	_ = c.SetDeadline(time.Now().Add(dialTime))
	if err := w.upgrade(addr); err != nil {
		c.Close()
		return nil, err
	}
	_ = c.SetDeadline(time.Time{})
	return w, nil
}

// request is the upgrade; its key is the one of RFC 6455.
func request(host string) string {
	return "GET /ws HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: " + protocol.Subprotocol + "\r\n\r\n"
}

func (w *wire) upgrade(host string) error {
	if _, err := io.WriteString(w.c, request(host)); err != nil {
		return err
	}
	resp, err := http.ReadResponse(w.r, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	defer resp.Body.Close()
	var problem struct {
		Retry int64 `json:"retry_ms"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil {
		return err
	}
	return &refused{resp.StatusCode, time.Duration(problem.Retry) * time.Millisecond}
}

// frame makes a client's text frame.
func frame(b []byte, text string) []byte {
	switch n := len(text); {
	case n <= 125:
		b = append(b, 0x81, 0x80|byte(n))
	case n <= 1<<16-1:
		b = binary.BigEndian.AppendUint16(append(b, 0x81, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x81, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), text...)
}

// send sends a text. It is for one goroutine at a time.
func (w *wire) send(format string, args ...any) error {
	w.b = frame(w.b[:0], fmt.Sprintf(format, args...))
	_, err := w.c.Write(w.b)
	return err
}

// next returns the text of the next message; the error is *closed after a close frame.
func (w *wire) next() ([]byte, error) {
	b, _, err := w.nextAt()
	return b, err
}

// nextAt is next, and when the message came.
func (w *wire) nextAt() ([]byte, time.Time, error) {
	var head [2]byte
	_, err := io.ReadFull(w.r, head[:])
	at := time.Now()
	if err != nil {
		return nil, at, err
	}
	b, err := w.rest(head)
	return b, at, err
}

// rest reads what follows the first two bytes of a frame.
func (w *wire) rest(head [2]byte) ([]byte, error) {
	n := int(head[1])
	switch n {
	case 126:
		var size [2]byte
		if _, err := io.ReadFull(w.r, size[:]); err != nil {
			return nil, err
		}
		n = int(binary.BigEndian.Uint16(size[:]))
	case 127:
		return nil, fmt.Errorf("a frame of more than 64 KiB")
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(w.r, b); err != nil {
		return nil, err
	}
	if op := head[0] & 0xF; op == 8 {
		c := &closed{}
		if n >= 2 {
			c.code, c.reason = protocol.CloseCode(binary.BigEndian.Uint16(b)), string(b[2:])
		}
		return nil, c
	}
	return b, nil
}

// message is what the clients here look at.
type message struct {
	T    protocol.Type
	ID   uint32
	Seq  uint64
	Room protocol.RoomID
	From protocol.MemberID
	D    json.RawMessage
	E    *protocol.WireError
}

// ask sends a request and reads until its reply; everything else is skipped.
func (w *wire) ask(id uint32, format string, args ...any) (*message, error) {
	if err := w.send(format, args...); err != nil {
		return nil, err
	}
	return w.until(func(m *message) bool { return m.ID == id })
}

func (w *wire) until(fits func(*message) bool) (*message, error) {
	_ = w.c.SetReadDeadline(time.Now().Add(dialTime))
	defer w.c.SetReadDeadline(time.Time{})
	for {
		b, err := w.next()
		if err != nil {
			return nil, err
		}
		var m message
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, fmt.Errorf("%q: %w", b, err)
		}
		if fits(&m) {
			return &m, nil
		}
		if m.T == protocol.TypePing {
			if err := w.send(`{"t":"pong"}`); err != nil {
				return nil, err
			}
		}
	}
}

// hello opens a session on w. An err comes back as *protocol.WireError in the message.
func (w *wire) hello(name string) (*message, error) {
	return w.ask(1, `{"t":"hello","id":1,"d":{"name":%q}}`, name)
}

// cut resets the connection: no close frame, no FIN.
func (w *wire) cut() {
	if c, ok := w.c.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	w.c.Close()
}

// pause waits for d and reports whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

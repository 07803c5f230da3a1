//go:build linux

package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/rondo-chat/rondo/protocol"
)

// client is a connection to a server: of ours, or of a bare one.
type client interface {
	// send sends n messages of a size in one write.
	send(n, size int) error
	// receive takes n messages that another one has sent.
	receive(n int) error
	close()
}

// bareClient is one of a bare server.
type bareClient struct {
	net.Conn
	in  *bufio.Reader
	buf []byte
	out []byte
}

func dialBare(addr, group string) (client, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	b := &bareClient{Conn: c, in: bufio.NewReaderSize(c, 4<<10), buf: make([]byte, receiveBuffer)}
	if _, err := c.Write(bareMessage([]byte(group))); err != nil {
		return nil, err
	}
	return b, b.receive(1)
}

func (c *bareClient) close() { c.Conn.Close() }

func (c *bareClient) send(n, size int) error {
	c.out = c.out[:0]
	for range n {
		c.out = append(c.out, bareMessage(bytes.Repeat([]byte("x"), size))...)
	}
	_, err := c.Write(c.out)
	return err
}

func (c *bareClient) receive(n int) (err error) {
	for range n {
		if _, err = readBare(c.in, c.buf); err != nil {
			return err
		}
	}
	return nil
}

// rondoClient is one of ours.
type rondoClient struct {
	net.Conn
	in  *bufio.Reader
	buf []byte
	out []byte

	id    uint32
	seq   uint64                                  // of the last push
	begin func(dst []byte, c *rondoClient) []byte // of what send sends, up to the opening quote of a text of any length
	push  []byte                                  // what begins a message that receive counts
}

// key masks: any but zero.
const key = 0x9a3c51e7

// appendFrame appends a frame as a client sends it.
func appendFrame(dst, text []byte) []byte {
	dst = append(dst, 0x81)
	switch n := len(text); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	mask := binary.BigEndian.AppendUint32(nil, key)
	dst = append(dst, mask...)
	begin := len(dst)
	dst = append(dst, text...)
	for i := range text {
		dst[begin+i] ^= mask[i%4]
	}
	return dst
}

func dialRondo(addr, name string) (*rondoClient, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &rondoClient{Conn: conn, in: bufio.NewReaderSize(conn, 4<<10)}
	_, err = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: "+addr+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: rondo.v1\r\n\r\n")
	if err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("upgrade: %v, %w", resp, err)
	}
	_, err = c.ask(protocol.TypeHello, "", protocol.Hello{Name: name})
	return c, err
}

func (c *rondoClient) close() { c.Conn.Close() }

// next reads a message.
func (c *rondoClient) next() ([]byte, error) {
	head, err := c.in.Peek(2)
	if err != nil {
		return nil, err
	}
	n, skip := int(head[1]), 2
	switch n {
	case 126:
		if head, err = c.in.Peek(4); err != nil {
			return nil, err
		}
		n, skip = int(binary.BigEndian.Uint16(head[2:])), 4
	case 127:
		if head, err = c.in.Peek(10); err != nil {
			return nil, err
		}
		n, skip = int(binary.BigEndian.Uint64(head[2:])), 10
	}
	if _, err := c.in.Discard(skip); err != nil {
		return nil, err
	}
	if cap(c.buf) < n {
		c.buf = make([]byte, n)
	}
	c.buf = c.buf[:n]
	_, err = io.ReadFull(c.in, c.buf)
	return c.buf, err
}

// ask sends a request and returns what its answer says.
func (c *rondoClient) ask(t protocol.Type, room protocol.RoomID, d any) (json.RawMessage, error) {
	c.id++
	text, err := json.Marshal(map[string]any{"t": t, "id": c.id, "room": room, "d": d})
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(appendFrame(nil, text)); err != nil {
		return nil, err
	}
	for {
		b, err := c.next()
		if err != nil {
			return nil, err
		}
		var m struct {
			ID uint32          `json:"id"`
			D  json.RawMessage `json:"d"`
			E  json.RawMessage `json:"e"`
		}
		switch err := json.Unmarshal(b, &m); {
		case err != nil:
			return nil, err
		case m.E != nil:
			return nil, fmt.Errorf("%s: %s", t, m.E)
		case m.ID == c.id:
			return m.D, nil
		}
	}
}

// lines are so many bytes as an offer has them, in JSON.
func lines(n int) string {
	const line = `a line of an offer, some fifty characters long\r\n`
	return strings.Repeat("x", n%len(line)) + strings.Repeat(line, n/len(line))
}

func (c *rondoClient) send(n, size int) error {
	c.out = c.out[:0]
	for range n {
		text := c.begin(nil, c)
		text = append(text, lines(size-len(text)-len(`"}}`))...)
		c.out = appendFrame(c.out, append(text, `"}}`...))
	}
	_, err := c.Write(c.out)
	return err
}

func (c *rondoClient) receive(n int) error {
	for n > 0 {
		b, err := c.next()
		switch {
		case err != nil:
			return err
		case bytes.HasPrefix(b, c.push):
			n--
			if _, rest, ok := bytes.Cut(b[:min(len(b), 60)], []byte(`,"seq":`)); ok {
				digits, _, _ := bytes.Cut(rest, []byte(","))
				if c.seq, err = strconv.ParseUint(string(digits), 10, 64); err != nil {
					return err
				}
			}
		case bytes.HasPrefix(b, []byte(`{"t":"err"`)):
			return fmt.Errorf("answer: %s", b)
		}
	}
	return nil
}

// signalTo begins a signal in a room, which acknowledges what came.
func signalTo(room protocol.RoomID) func([]byte, *rondoClient) []byte {
	return func(dst []byte, c *rondoClient) []byte {
		dst = append(dst, `{"t":"signal","room":"`+string(room)+`","kind":"offer"`...)
		if c.seq != 0 {
			dst = strconv.AppendUint(append(dst, `,"a":`...), c.seq, 10)
		}
		return append(dst, `,"d":{"sdp":"`...)
	}
}

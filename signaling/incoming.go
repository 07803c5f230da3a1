package signaling

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
	"unicode/utf8"

	"github.com/rondo-chat/rondo/protocol"
)

// A client's frames (RFC 6455, section 5.2).
const (
	opContinuation = 0x0
	opBinary       = 0x2
	opPing         = 0x9
	reserved       = 0x70
	masked         = 0x80
	maxControl     = 125 // bytes of a control frame's content
)

// next begins a message, after the rest of one that was not read to the end.
func (t *webSocket) next() (isBinary bool, err error) {
	for t.open {
		if err := t.skip(); err != nil {
			return false, err
		}
	}
	op, err := t.frame(true)
	t.open = err == nil
	return op == opBinary, err
}

func (t *webSocket) read(buf []byte, limit int) ([]byte, error) {
	for start := len(buf); ; {
		if t.left > uint64(limit-(len(buf)-start)) {
			return buf, errTooBig
		}
		var err error
		if buf, err = t.content(buf); err != nil {
			return buf, err
		}
		if t.last {
			t.open = false
			return buf, nil
		}
		if _, err = t.frame(false); err != nil {
			return buf, err
		}
	}
}

// skip reads the rest of a frame, or begins the next one of its message.
func (t *webSocket) skip() error {
	switch {
	case t.left > 0:
		if err := t.more(); err != nil {
			return err
		}
		n := min(uint64(t.buffered()), t.left)
		t.buf.r += int(n)
		t.left -= n
		return nil
	case t.last:
		t.open = false
		return nil
	}
	_, err := t.frame(false)
	return err
}

// content appends what is left of the frame. What a client says that it will send is
// not believed: memory is taken for what came.
func (t *webSocket) content(buf []byte) ([]byte, error) {
	for t.left > 0 {
		from := len(buf)
		if t.buffered() == 0 && t.left >= readBuffer {
			if len(buf) == cap(buf) {
				buf = append(buf, 0)[:len(buf)]
			}
			n, err := t.conn.Read(buf[from:min(uint64(cap(buf)), uint64(from)+t.left)])
			if buf = buf[:from+n]; n > 0 {
				t.ev.heard(n)
			} else if err != nil {
				return buf, err
			}
		} else {
			if err := t.more(); err != nil {
				return buf, err
			}
			b := t.buf.b[t.buf.r:t.buf.w]
			b = b[:min(uint64(len(b)), t.left)]
			buf = append(buf, b...)
			t.buf.r += len(b)
		}
		unmask(buf[from:], t.mask, t.at)
		t.at += len(buf) - from
		t.left -= uint64(len(buf) - from)
	}
	return buf, nil
}

// frame reads up to the content of a message's next frame, the first one or not.
// Control frames, which may come between, are dealt with.
func (t *webSocket) frame(first bool) (op byte, err error) {
	for {
		if op, err = t.head(first); err != nil || op < opClose {
			return op, err
		}
		if err = t.control(op); err != nil {
			return 0, err
		}
	}
}

// head reads the header of a frame; first as for frame.
func (t *webSocket) head(first bool) (op byte, err error) {
	h, err := t.take(2)
	if err != nil {
		return 0, err
	}
	end, op, size := h[0]&final != 0, h[0]&0xF, h[1]&0x7F
	switch {
	case h[0]&reserved != 0:
		return 0, t.refuse("a reserved bit")
	case h[1]&masked == 0:
		return 0, t.refuse("a frame without mask")
	case op > opBinary && op < opClose, op > opPong:
		return 0, t.refuse("an unknown opcode")
	case op >= opClose && (!end || size > maxControl):
		return 0, t.refuse("a long control frame")
	case op < opClose && first == (op == opContinuation):
		return 0, t.refuse("a frame of another message")
	}
	if op < opClose { // else the frame before it counts
		t.last = end
	}
	t.left = uint64(size)
	switch size {
	case 126:
		if h, err = t.take(2); err == nil {
			t.left = uint64(binary.BigEndian.Uint16(h))
		}
	case 127:
		if h, err = t.take(8); err == nil {
			t.left = binary.BigEndian.Uint64(h)
		}
	}
	if err != nil {
		return 0, err
	}
	if t.left > math.MaxInt64 {
		return 0, t.refuse("a length beyond any")
	}
	if h, err = t.take(4); err != nil {
		return 0, err
	}
	copy(t.mask[:], h)
	t.at = 0
	return op, nil
}

// control deals with a control frame after its header.
func (t *webSocket) control(op byte) error {
	p, err := t.take(int(t.left))
	if err != nil {
		return err
	}
	t.left = 0
	unmask(p, t.mask, 0)
	switch op {
	case opPing:
		t.ev.pinged(string(p))
	case opClose:
		return t.closed(p)
	}
	return nil
}

// closed returns what a close frame comes to.
func (t *webSocket) closed(p []byte) error {
	if len(p) == 0 {
		return &peerClosed{}
	}
	if len(p) == 1 || !utf8.Valid(p[2:]) {
		return t.refuse("a close frame")
	}
	code := protocol.CloseCode(binary.BigEndian.Uint16(p))
	switch { // RFC 6455, section 7.4, and the registry that it made
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1013, code >= 3000 && code <= 4999:
		return &peerClosed{code}
	}
	return t.refuse("a close code")
}

var errFrame = errors.New("signaling: no WebSocket frame")

// closeProtocol is the code for what is no frame (RFC 6455, section 7.4.1).
const closeProtocol protocol.CloseCode = 1002

// refuse tells a client what is wrong that does not speak the protocol. It does not
// wait for what is still to be sent to such a one.
func (t *webSocket) refuse(what string) error {
	_ = t.conn.SetWriteDeadline(time.Now().Add(time.Second)) // as for the write: it is over
	_ = t.write(closeFrame(closeProtocol, what))
	return errFrame
}

// more waits until there is something in the buffer.
func (t *webSocket) more() error {
	for t.buffered() == 0 {
		if err := t.fill(); err != nil {
			return err
		}
	}
	return nil
}

// take returns the next n bytes, which are at most a control frame's; they are good
// until the next reading.
func (t *webSocket) take(n int) ([]byte, error) {
	for t.buffered() < n {
		if err := t.fill(); err != nil {
			return nil, err
		}
	}
	if n == 0 {
		return nil, nil
	}
	t.buf.r += n
	return t.buf.b[t.buf.r-n : t.buf.r], nil
}

// fill waits for something to come, with a buffer only if that has come already.
func (t *webSocket) fill() error {
	if t.buf == nil && t.raw == nil {
		n, err := t.conn.Read(t.first[:])
		if n == 0 {
			return err
		}
		t.came(n)
		return nil
	}
	b := t.room()
	n, err := t.conn.Read(b.b[b.w:])
	if n == 0 {
		return err
	}
	b.w += n
	t.burst = b.w == len(b.b) || b.large() && b.w > readBuffer
	t.ev.heard(n)
	return nil
}

// came puts what came first into a buffer.
func (t *webSocket) came(n int) {
	b := t.lend()
	b.w = copy(b.b[:], t.first[:n])
	t.ev.heard(n)
}

// room returns the buffer, with what is in it at its beginning: a large one where a
// small one was full.
func (t *webSocket) room() *buffer {
	b := t.lend()
	if !t.burst || b.large() {
		b.w, b.r = copy(b.b, b.b[b.r:b.w]), 0
		return b
	}
	t.buf = t.pool.get(true)
	t.buf.w = copy(t.buf.b, b.b[b.r:b.w])
	t.pool.put(b)
	return t.buf
}

// unmask takes the mask off b, which begins at byte at of its frame.
func unmask(b []byte, mask [4]byte, at int) {
	var key [8]byte
	for i := range key {
		key[i] = mask[(at+i)%len(mask)]
	}
	k := binary.LittleEndian.Uint64(key[:])
	for ; len(b) >= 4*len(key); b = b[4*len(key):] {
		p := (*[32]byte)(b)
		binary.LittleEndian.PutUint64(p[0:], binary.LittleEndian.Uint64(p[0:])^k)
		binary.LittleEndian.PutUint64(p[8:], binary.LittleEndian.Uint64(p[8:])^k)
		binary.LittleEndian.PutUint64(p[16:], binary.LittleEndian.Uint64(p[16:])^k)
		binary.LittleEndian.PutUint64(p[24:], binary.LittleEndian.Uint64(p[24:])^k)
	}
	for ; len(b) >= len(key); b = b[len(key):] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^k)
	}
	for i := range b {
		b[i] ^= key[i]
	}
}

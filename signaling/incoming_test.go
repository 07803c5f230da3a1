package signaling

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// script is a connection over which comes what is in it, at most so many bytes at a time.
type script struct {
	net.Conn
	in    *bytes.Reader
	at    int
	wrote bytes.Buffer
}

func (s *script) Read(b []byte) (int, error)       { return s.in.Read(b[:min(len(b), s.at)]) }
func (s *script) Write(b []byte) (int, error)      { return s.wrote.Write(b) }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
func (s *script) Close() error                     { return nil }

// ear notes what a transport tells.
type ear struct {
	bytes int
	text  []string
}

func (e *ear) heard(n int)        { e.bytes += n }
func (e *ear) stirred() bool      { return false }
func (e *ear) rouse()             {}
func (e *ear) pinged(data string) { e.text = append(e.text, fmt.Sprintf("ping %q", data)) }

// listen reads messages until the end.
func listen(in []byte, at, limit int) (heard []string, bytesHeard int, answer []byte) {
	s, e := &script{in: bytes.NewReader(in), at: at}, &ear{}
	t := newWebSocket(s, newBuffers(), nil, e)
	say := func(format string, args ...any) { e.text = append(e.text, fmt.Sprintf(format, args...)) }
	for {
		isBinary, err := t.next()
		var b []byte
		if err == nil {
			b, err = t.read([]byte("x"), limit)
		}
		pc, _ := errors.AsType[*peerClosed](err)
		switch {
		case err == nil:
			say("%v %q", isBinary, b[1:])
			continue
		case errors.Is(err, errTooBig):
			say("too big")
			continue
		case pc != nil:
			say("closed %d", pc.code)
		case errors.Is(err, errFrame):
			say("refused")
		}
		return e.text, e.bytes, s.wrote.Bytes()
	}
}

// gorilla is listen by the package that says what is right.
func gorilla(t *testing.T, in []byte) (heard []string) {
	s := &script{in: bytes.NewReader(in), at: 1 << 20}
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	for k, v := range map[string]string{"Connection": "upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="} {
		r.Header.Set(k, v)
	}
	ws, err := (&websocket.Upgrader{}).Upgrade(hijacked{httptest.NewRecorder(), s}, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.wrote.Reset()
	say := func(format string, args ...any) { heard = append(heard, fmt.Sprintf(format, args...)) }
	ws.SetPingHandler(func(data string) error { say("ping %q", data); return nil })
	ws.SetCloseHandler(func(int, string) error { return nil })
	for {
		kind, b, err := ws.ReadMessage()
		ce, _ := errors.AsType[*websocket.CloseError](err)
		switch {
		case err == nil:
			say("%v %q", kind == websocket.BinaryMessage, b)
			continue
		case ce != nil && ce.Code == websocket.CloseNoStatusReceived:
			say("closed 0")
		case ce != nil && ce.Code != websocket.CloseAbnormalClosure: // which is the end
			say("closed %d", ce.Code)
		case s.wrote.Len() > 0 || errors.Is(err, websocket.ErrReadLimit):
			say("refused")
		}
		return heard
	}
}

type hijacked struct {
	http.ResponseWriter
	c net.Conn
}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.c, bufio.NewReadWriter(bufio.NewReader(h.c), bufio.NewWriter(h.c)), nil
}

// maskedFrame is a client's frame as a browser sends it.
func maskedFrame(first byte, payload []byte, mask uint32) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, masked|byte(n))
	case n <= 1<<16-1:
		b = binary.BigEndian.AppendUint16(append(b, masked|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, masked|127), uint64(n))
	}
	key := binary.BigEndian.AppendUint32(nil, mask)
	b = append(b, key...)
	for i, c := range payload {
		b = append(b, c^key[i%4])
	}
	return b
}

// FuzzFrames: of whatever comes, in pieces of whatever size, the same messages are read
// as gorilla/websocket reads, and every byte is counted.
func FuzzFrames(f *testing.F) {
	for _, text := range []string{"", "{}", "hello", string(make([]byte, 126)), string(make([]byte, 70_000))} {
		f.Add(maskedFrame(final|opText, []byte(text), 0x12345678), byte(3))
	}
	f.Add(bytes.Join([][]byte{
		maskedFrame(opText, []byte("one "), 1), maskedFrame(final|opPing, []byte("!"), 2), maskedFrame(opContinuation, nil, 3),
		maskedFrame(final|opContinuation, []byte("two"), 1<<31), maskedFrame(final|opBinary, []byte("three"), 9), maskedFrame(final|opPong, nil, 3),
		maskedFrame(final|opClose, []byte{0x03, 0xe8, 'b', 'y', 'e'}, 77),
	}, nil), byte(1))
	for _, code := range []uint16{0, 999, 1000, 1004, 1005, 1006, 1007, 1013, 1014, 1015, 2999, 3000, 4999, 5000} {
		f.Add(maskedFrame(final|opClose, binary.BigEndian.AppendUint16(nil, code), 5), byte(200))
	}
	f.Add(maskedFrame(final|opClose, []byte{3, 0xe8, 0xff}, 5), byte(2))
	f.Add([]byte{0x81, 0x02, '{', '}'}, byte(9))                                // not masked
	f.Add([]byte{0xc1, 0x80, 0, 0, 0, 0}, byte(9))                              // a reserved bit
	f.Add([]byte{0x09, 0x80, 0, 0, 0, 0}, byte(9))                              // a ping in two frames
	f.Add([]byte{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, byte(100)) // a negative length
	f.Fuzz(func(t *testing.T, in []byte, at byte) {
		const limit = 1 << 20
		if len(in) > limit {
			return
		}
		got, n, answer := listen(in, int(at)+1, limit)
		want := gorilla(t, in)
		refused := len(got) > 0 && got[len(got)-1] == "refused"
		if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
			// gorilla takes a close frame with half a code for one without, and waits for the
			// content of a message that is too big.
			if !(refused && len(want) == len(got) && want[len(want)-1] == "closed 0") && !bytes.Contains([]byte(g), []byte("too big")) {
				t.Fatalf("read %s, want %s", g, w)
			}
		}
		if refused != bytes.Contains(answer, []byte{final | opClose}) {
			t.Fatalf("%v, and answered %q", got, answer)
		}
		if n > len(in) || len(got) == 0 && n != len(in) {
			t.Fatalf("counted %d of %d bytes", n, len(in))
		}
	})
}

// TestFramesInPieces: the size of what comes at a time changes nothing, whatever is in it.
func TestFramesInPieces(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		var in []byte
		var want []string
		for range 1 + rnd.IntN(6) {
			if rnd.IntN(4) == 0 {
				in = append(in, maskedFrame(final|opPing, []byte("p"), rnd.Uint32())...)
				want = append(want, `ping "p"`)
			}
			text := make([]byte, []int{0, 5, 125, 126, 990, 1008, 1009, 5000, 70_000}[rnd.IntN(9)])
			for i := range text {
				text[i] = byte('a' + rnd.IntN(26))
			}
			want = append(want, fmt.Sprintf("false %q", text))
			op := byte(opText)
			for rnd.IntN(3) == 0 {
				cut := rnd.IntN(len(text) + 1)
				in = append(in, maskedFrame(op, text[:cut], rnd.Uint32())...)
				op, text = opContinuation, text[cut:]
			}
			in = append(in, maskedFrame(final|op, text, rnd.Uint32())...)
		}
		for _, at := range []int{1, 2, 7, 13, 1000, 1 << 20} {
			got, n, _ := listen(in, at, 1<<20)
			if fmt.Sprint(got) != fmt.Sprint(want) || n != len(in) {
				t.Fatalf("seed %d, %d at a time: %d of %d bytes, %d of %d heard", seed, at, n, len(in), len(got), len(want))
			}
		}
	}
}

// TestTooBigIsNotBelieved: a message that is too big is refused by what its header says, and
// memory is taken for what came only.
func TestTooBigIsNotBelieved(t *testing.T) {
	huge := binary.BigEndian.AppendUint64([]byte{final | opText, masked | 127}, 1<<62)
	got, _, _ := listen(append(huge, 0, 0, 0, 0, 'x'), 100, 1<<16)
	if fmt.Sprint(got) != "[too big]" {
		t.Fatal(got)
	}
	s := &script{in: bytes.NewReader(append(binary.BigEndian.AppendUint64([]byte{final | opText, masked | 127}, 60_000), 0, 0, 0, 0, 'x')), at: 100}
	w := newWebSocket(s, newBuffers(), nil, &ear{})
	if _, err := w.next(); err != nil {
		t.Fatal(err)
	}
	b, err := w.read(make([]byte, 0, 16), 1<<16)
	if !errors.Is(err, io.EOF) || cap(b) > 64 {
		t.Fatalf("%v, and took %d bytes for 1", err, cap(b))
	}
	got, _, _ = listen(append(maskedFrame(final|opText, make([]byte, 100), 9), maskedFrame(final|opText, []byte("next"), 9)...), 7, 50)
	if fmt.Sprint(got) != `[too big false "next"]` {
		t.Fatal(got)
	}
}

package protocol

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// Push is a message that the server sends unasked (section 2).
type Push struct {
	Type Type
	Seq  uint64 // 0: not a must-deliver push
	Room RoomID
	From MemberID
	Kind SignalKind
	N    uint32 // of a signal: the number of its sender's request; 0: it had none
	D    []byte // raw JSON, passed on as it is; nil: no d
}

// AppendPush appends the push to dst. D must be well-formed JSON.
func AppendPush(dst []byte, p Push) []byte {
	dst = append(dst, `{"t":`...)
	dst = appendString(dst, string(p.Type))
	if p.Seq != 0 {
		dst = append(dst, `,"seq":`...)
		dst = strconv.AppendUint(dst, p.Seq, 10)
	}
	dst = appendField(dst, `,"room":`, string(p.Room))
	dst = appendField(dst, `,"from":`, string(p.From))
	dst = appendField(dst, `,"kind":`, string(p.Kind))
	if p.N != 0 {
		dst = append(dst, `,"n":`...)
		dst = strconv.AppendUint(dst, uint64(p.N), 10)
	}
	if p.D != nil {
		dst = append(dst, `,"d":`...)
		dst = append(dst, p.D...)
	}
	return append(dst, '}')
}

// AppendOK appends the reply to request id with d, {} for nil. Type "" means
// ok; welcome and resumed are replies too. On error dst is returned unchanged.
func AppendOK(dst []byte, id uint32, t Type, d any) ([]byte, error) {
	if t == "" {
		t = TypeOK
	}
	out := append(dst, `{"t":`...)
	out = appendString(out, string(t))
	out = appendID(out, id)
	out = append(out, `,"d":`...)
	if d == nil {
		return append(out, `{}}`...), nil
	}
	w := appender{out}
	enc := json.NewEncoder(&w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(d); err != nil {
		return dst, err
	}
	w.buf[len(w.buf)-1] = '}' // in place of Encode's newline
	return w.buf, nil
}

// AppendErr appends the error reply to request id; id 0 leaves the id out.
// Advice on when to retry is rounded up to milliseconds.
func AppendErr(dst []byte, id uint32, e *Error) []byte {
	dst = append(dst, `{"t":"err"`...)
	dst = appendID(dst, id)
	dst = append(dst, `,"e":{"code":`...)
	dst = appendString(dst, string(e.Code))
	dst = append(dst, `,"msg":`...)
	dst = appendString(dst, e.Msg)
	if e.Retry > 0 {
		dst = append(dst, `,"retry_ms":`...)
		dst = strconv.AppendInt(dst, int64((e.Retry+time.Millisecond-1)/time.Millisecond), 10)
	}
	return append(dst, `}}`...)
}

// appender is an io.Writer onto a slice.
type appender struct{ buf []byte }

func (w *appender) Write(b []byte) (int, error) {
	w.buf = append(w.buf, b...)
	return len(b), nil
}

func appendID(dst []byte, id uint32) []byte {
	if id == 0 {
		return dst
	}
	dst = append(dst, `,"id":`...)
	return strconv.AppendUint(dst, uint64(id), 10)
}

func appendField(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	return appendString(append(dst, key...), value)
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string; what is not UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(append(dst, s[start:i]...), '\\', c)
		case c < ' ':
			dst = append(append(dst, s[start:i]...), '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			dst = append(append(dst, s[start:i]...), "\uFFFD"...)
		default:
			i++
			continue
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

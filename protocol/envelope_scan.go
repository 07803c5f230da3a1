package protocol

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// The scanner reads JSON (RFC 8259) by index and makes nothing: a relayed SDP
// passes at the speed of looking at it. It expects valid UTF-8. Functions that
// skip return the index after what they skipped and, if it was not there or
// wrong, a reason.

// envelope reads the members of the outermost object.
type envelope struct {
	dec  *Decoder
	msg  *Message
	seen uint8 // one bit per known key
	more keySet
}

// Bits of envelope.seen.
const (
	keyT = 1 << iota
	keyID
	keyA
	keyRoom
	keyTo
	keyKind
	keyD
)

func (p *envelope) read(b []byte) (reason string) {
	i := skipSpace(b, 0)
	if at(b, i) != '{' {
		return "not an object"
	}
	for i = skipSpace(b, i+1); at(b, i) != '}'; {
		key, j, reason := member(b, i)
		if reason != "" {
			return reason
		}
		if i, reason = p.member(b, key, j); reason != "" {
			return reason
		}
		if i = skipSpace(b, i); at(b, i) == ',' {
			if i = skipSpace(b, i+1); at(b, i) == '}' {
				return "json"
			}
		} else if at(b, i) != '}' {
			return "json"
		}
	}
	if skipSpace(b, i+1) != len(b) {
		return "text after the object"
	}
	if p.msg.Type == "" {
		return "t"
	}
	return ""
}

// member reads the value at i of the member named key (as it stands in the text).
func (p *envelope) member(b, key []byte, i int) (int, string) {
	bit := keyBit(key)
	if bit == 0 {
		if !p.more.add(key) {
			return i, "a key occurs twice"
		}
		return skipValue(b, i, 1)
	}
	if p.seen&bit != 0 {
		return i, "a key occurs twice"
	}
	p.seen |= bit
	switch bit {
	case keyD:
		return p.payload(b, i)
	case keyID, keyA:
		return p.number(b, i, bit)
	}
	return p.text(b, i, bit)
}

func (p *envelope) payload(b []byte, i int) (int, string) {
	end, reason := skipValue(b, i, 1)
	if reason != "" {
		return end, reason
	}
	if b[i] != '{' && b[i] != 'n' {
		return end, "d is not an object"
	}
	p.msg.D = b[i:end:end]
	return end, ""
}

func (p *envelope) number(b []byte, i int, bit uint8) (int, string) {
	end, reason := skipValue(b, i, 1)
	if reason != "" {
		return end, reason
	}
	v, ok := integer(b[i:end])
	if bit == keyA {
		p.msg.Ack = v
		return end, orReason(ok, "a")
	}
	p.msg.ID = uint32(v)
	return end, orReason(ok && v >= 1 && v <= 1<<32-1, "id")
}

func (p *envelope) text(b []byte, i int, bit uint8) (int, string) {
	if at(b, i) != '"' {
		return i, keyName(bit)
	}
	end, reason := skipString(b, i)
	if reason != "" {
		return end, reason
	}
	s := unescape(b[i+1 : end-1])
	switch bit {
	case keyT:
		p.msg.Type = internType(s)
		return end, orReason(len(s) >= 1 && len(s) <= MaxTypeBytes, "t")
	case keyRoom:
		if string(s) != string(p.dec.room) {
			p.dec.room = RoomID(s)
		}
		p.msg.Room = p.dec.room
	case keyTo:
		if string(s) != string(p.dec.to) {
			p.dec.to = MemberID(s)
		}
		p.msg.To = p.dec.to
	case keyKind:
		p.msg.Kind = internKind(s)
	}
	return end, ""
}

func orReason(ok bool, reason string) string {
	if ok {
		return ""
	}
	return reason
}

func keyBit(key []byte) uint8 {
	switch string(unescape(key)) {
	case "t":
		return keyT
	case "id":
		return keyID
	case "a":
		return keyA
	case "room":
		return keyRoom
	case "to":
		return keyTo
	case "kind":
		return keyKind
	case "d":
		return keyD
	}
	return 0
}

func keyName(bit uint8) string {
	switch bit {
	case keyT:
		return "t"
	case keyRoom:
		return "room"
	case keyTo:
		return "to"
	}
	return "kind"
}

// integer reads digits as they stand: no sign, point or exponent, at most 2⁶⁴-1.
func integer(b []byte) (uint64, bool) {
	var v uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		hi, lo := bits.Mul64(v, 10)
		sum, carry := bits.Add64(lo, uint64(c-'0'), 0)
		if hi != 0 || carry != 0 {
			return 0, false
		}
		v = sum
	}
	return v, len(b) > 0
}

// at returns b[i], or 0 behind the end: a byte that stands nowhere in JSON.
func at(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// member reads a key and its colon; i is then at the value.
func member(b []byte, i int) (key []byte, value int, reason string) {
	if at(b, i) != '"' {
		return nil, i, "json"
	}
	end, reason := skipString(b, i)
	if reason != "" {
		return nil, end, reason
	}
	colon := skipSpace(b, end)
	if at(b, colon) != ':' {
		return nil, colon, "json"
	}
	return b[i+1 : end-1], skipSpace(b, colon+1), ""
}

// members calls f with key and value of each member of a well-formed object
// until f returns false, and reports whether it never did.
func members(b []byte, f func(key, value []byte) bool) bool {
	for i := skipSpace(b, 1); at(b, i) != '}'; {
		key, start, _ := member(b, i)
		end, reason := skipValue(b, start, 0)
		if reason != "" || !f(key, b[start:end]) {
			return false
		}
		if i = skipSpace(b, end); at(b, i) == ',' {
			i = skipSpace(b, i+1)
		}
	}
	return true
}

// skipValue skips any value at i that stands inside depth containers. It keeps
// the kinds of the containers it is in as bits (1: object), innermost lowest.
func skipValue(b []byte, i, depth int) (int, string) {
	var kinds uint64
	for level := 0; ; {
		var opened bool
		var reason string
		if i, opened, reason = skipStart(b, i); reason != "" {
			return i, reason
		}
		if opened {
			if level++; depth+level > MaxDepth {
				return i, "too deep"
			}
			kinds <<= 1
			if b[i-1] == '{' {
				kinds |= 1
			}
			i = skipSpace(b, i)
			if at(b, i) != closer(kinds) { // the first member or element
				if i, reason = skipKey(b, i, kinds); reason != "" {
					return i, reason
				}
				continue
			}
		}
		for { // a value is complete, or an empty container stands before its end
			if level == 0 {
				return i, ""
			}
			i = skipSpace(b, i)
			if at(b, i) == ',' {
				break
			}
			if at(b, i) != closer(kinds) {
				return i, "json"
			}
			i++
			level--
			kinds >>= 1
		}
		if i, reason = skipKey(b, skipSpace(b, i+1), kinds); reason != "" {
			return i, reason
		}
	}
}

func closer(kinds uint64) byte {
	if kinds&1 == 1 {
		return '}'
	}
	return ']'
}

// skipKey skips key and colon if the innermost container is an object.
func skipKey(b []byte, i int, kinds uint64) (int, string) {
	if kinds&1 == 0 {
		return i, ""
	}
	_, i, reason := member(b, i)
	return i, reason
}

// skipStart skips a scalar, or the bracket that opens a container.
func skipStart(b []byte, i int) (next int, opened bool, reason string) {
	switch c := at(b, i); c {
	case '{', '[':
		return i + 1, true, ""
	case '"':
		next, reason = skipString(b, i)
	case 't':
		next, reason = skipWord(b, i, "true")
	case 'f':
		next, reason = skipWord(b, i, "false")
	case 'n':
		next, reason = skipWord(b, i, "null")
	default:
		next, reason = skipNumber(b, i)
	}
	return next, false, reason
}

func skipWord(b []byte, i int, word string) (int, string) {
	if !bytes.HasPrefix(b[i:], []byte(word)) {
		return i, "json"
	}
	return i + len(word), ""
}

func skipNumber(b []byte, i int) (int, string) {
	if at(b, i) == '-' {
		i++
	}
	start := i
	if i = skipDigits(b, i); i == start || (b[start] == '0' && i > start+1) {
		return i, "json"
	}
	if at(b, i) == '.' {
		start = i + 1
		if i = skipDigits(b, start); i == start {
			return i, "json"
		}
	}
	if c := at(b, i); c == 'e' || c == 'E' {
		i++
		if c := at(b, i); c == '+' || c == '-' {
			i++
		}
		start = i
		if i = skipDigits(b, start); i == start {
			return i, "json"
		}
	}
	return i, ""
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}

// skipString skips a string; i is at its opening quote.
func skipString(b []byte, i int) (int, string) {
	for i++; ; {
		if i = skipPlain(b, i); i >= len(b) {
			return i, "json"
		}
		switch b[i] {
		case '"':
			return i + 1, ""
		case '\\':
			if c := at(b, i+1); c == 'n' || c == 'r' { // the ends of an SDP's lines
				i += 2
				continue
			}
			n := escapeLen(b[i:])
			if n == 0 {
				return i, "escape"
			}
			i += n
		default:
			return i, "control character"
		}
	}
}

const (
	every8  = 0x0101010101010101
	high8   = 0x8080808080808080
	quote8  = '"' * every8
	escape8 = '\\' * every8
	space8  = ' ' * every8
)

// skipPlain skips bytes that need no attention: all but quote, backslash and
// control characters. It looks at eight at a time; the lowest flagged byte of
// the eight is always a true find.
func skipPlain(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		q, e := x^quote8, x^escape8
		found := ((q-every8)&^q | (e-every8)&^e | (x-space8)&^x) & high8
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
		i++
	}
	return i
}

// escapeLen returns the length of the escape at the start of b, 0 if it is none.
func escapeLen(b []byte) int {
	switch at(b, 1) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b); ok {
			return 6
		}
	}
	return 0
}

// hex4 reads the \uXXXX at the start of b.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape returns what the inside of a well-formed string stands for; without
// escapes that is the text itself. A lone surrogate becomes U+FFFD.
func unescape(s []byte) []byte {
	i := bytes.IndexByte(s, '\\')
	if i < 0 {
		return s
	}
	out := append(make([]byte, 0, len(s)), s[:i]...)
	for i < len(s) {
		if s[i] != '\\' {
			out = append(out, s[i])
			i++
			continue
		}
		var r rune
		r, i = escaped(s, i)
		out = utf8.AppendRune(out, r)
	}
	return out
}

// escaped reads the escape at i, both halves of a surrogate pair as one.
func escaped(s []byte, i int) (rune, int) {
	if r, ok := hex4(s[i:]); ok {
		if low, ok := hex4(s[i+6:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, i + 12
			}
		}
		return r, i + 6 // AppendRune writes U+FFFD for a lone half
	}
	switch c := s[i+1]; c {
	case 'b':
		return '\b', i + 2
	case 'f':
		return '\f', i + 2
	case 'n':
		return '\n', i + 2
	case 'r':
		return '\r', i + 2
	case 't':
		return '\t', i + 2
	default:
		return rune(c), i + 2
	}
}

// internType returns the type without making a string for those that exist.
func internType(b []byte) Type {
	switch string(b) {
	case "signal":
		return TypeSignal
	case "pong":
		return TypePong
	case "ack":
		return TypeAck
	case "chat":
		return TypeChat
	case "typing":
		return TypeTyping
	case "ping":
		return TypePing
	}
	return Type(b)
}

func internKind(b []byte) SignalKind {
	switch string(b) {
	case "offer":
		return SignalOffer
	case "answer":
		return SignalAnswer
	case "candidate":
		return SignalCandidate
	case "candidates":
		return SignalCandidates
	case "restart":
		return SignalRestart
	case "media":
		return SignalMedia
	case "hangup":
		return SignalHangup
	}
	return SignalKind(b)
}

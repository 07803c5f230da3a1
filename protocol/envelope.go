package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// Message is a client's message with its envelope read and its payload not
// (section 2).
type Message struct {
	Type Type
	ID   uint32 // 0: no reply wanted
	Ack  uint64 // "a": every push up to it was received; 0: says nothing
	Room RoomID
	To   MemberID
	Kind SignalKind
	D    []byte // raw JSON, an object or null; aliases the input of Decode; nil if absent
	Size int    // length of the whole message in bytes
}

// ErrUTF8 means that a message is not UTF-8: the connection ends with CloseUTF8.
var ErrUTF8 = errors.New("protocol: the message is not UTF-8")

// MalformedError means that a message breaks the rules of section 2: the
// connection ends with CloseProtocol. Reason is short and safe to show.
type MalformedError struct{ Reason string }

func (e *MalformedError) Error() string { return "protocol: malformed message: " + e.Reason }

// Decoder reads the envelopes of one sender. It remembers the last room, so
// that the next message to it needs no memory. The zero Decoder is ready.
type Decoder struct {
	room RoomID
	to   MemberID
}

// Decode reads one message; see [Decoder.Decode].
func Decode(b []byte) (Message, error) {
	var d Decoder
	return d.Decode(b)
}

// Decode reads one message. It checks all of it, also inside d, so that what is
// relayed is well-formed: UTF-8, one JSON object (RFC 8259) and nothing after
// it, no deeper than MaxDepth, no envelope key twice. Escapes in keys and
// strings of the envelope count as what they stand for. The error is ErrUTF8 or
// a *MalformedError.
//
// What is inside d stays as it came: a lone surrogate escape ("\ud800") is
// JSON, and harmless to who reads it. Keys that occur twice inside d are for
// who reads d; [Message.Unmarshal] refuses them.
func (d *Decoder) Decode(b []byte) (Message, error) {
	if !utf8.Valid(b) {
		return Message{}, ErrUTF8
	}
	m := Message{Size: len(b)}
	p := envelope{dec: d, msg: &m}
	if reason := p.read(b); reason != "" {
		return Message{}, &MalformedError{reason}
	}
	return m, nil
}

// Unmarshal reads d into a payload struct; an absent d counts as {}. Keys are
// case-sensitive; unknown ones are ignored. The error is a *Error with code
// bad_request that names the field.
func (m *Message) Unmarshal(v any) error {
	d, err := exactKeys(m.D)
	if err != nil {
		return err
	}
	if len(d) == 0 {
		return nil
	}
	err = json.Unmarshal(d, v)
	if err == nil {
		return nil
	}
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && te.Field != "" {
		return Errorf(CodeBadRequest, "%s: wrong type or out of range", te.Field)
	}
	return Errorf(CodeBadRequest, "d: not readable")
}

// exactKeys makes encoding/json as strict as the protocol: it takes "TEXT" for
// "text" and the last of two equal keys. All our keys are of [a-z0-9_], so any
// other key is an unknown one and left out; twice the same is refused.
func exactKeys(d []byte) ([]byte, error) {
	if len(d) == 0 || d[0] != '{' { // absent or null
		return nil, nil
	}
	seen := keySet{}
	clean := true
	if !members(d, func(key, _ []byte) bool {
		clean = clean && plainKey(key)
		return seen.add(key)
	}) {
		return nil, Errorf(CodeBadRequest, "d: a key occurs twice")
	}
	if clean {
		return d, nil
	}
	out := []byte{'{'}
	members(d, func(key, value []byte) bool {
		if key = unescape(key); plainKey(key) {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(append(append(append(out, '"'), key...), '"', ':'), value...)
		}
		return true
	})
	return append(out, '}'), nil
}

func plainKey(key []byte) bool {
	for _, c := range key {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// keySet finds keys that occur twice. Keys of a few members are compared one by
// one; more go into a map, so that many keys cost no more than their length.
type keySet struct {
	n    int
	few  [12][]byte
	many map[string]struct{}
}

// add adds a key as it stands in the text and reports whether it is new.
func (s *keySet) add(key []byte) bool {
	key = unescape(key)
	if s.many == nil {
		for _, k := range s.few[:s.n] {
			if bytes.Equal(k, key) {
				return false
			}
		}
		if s.n < len(s.few) {
			s.few[s.n] = key
			s.n++
			return true
		}
		s.many = make(map[string]struct{}, 4*len(s.few))
		for _, k := range s.few {
			s.many[string(k)] = struct{}{}
		}
	}
	if _, twice := s.many[string(key)]; twice {
		return false
	}
	s.many[string(key)] = struct{}{}
	return true
}

package turnserver

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 8489 section 14.5 prescribes HMAC-SHA1
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
)

// STUN message layout (RFC 8489 section 5).
const (
	headerBytes = 20
	cookie      = 0x2112A442
	tidBytes    = 12
	macBytes    = sha1.Size
	crcXOR      = 0x5354554e

	// maxAttrs bounds the work one message can cause: a CreatePermission with
	// the largest number of peers still fits.
	maxAttrs = 128
)

type method uint16

const (
	methodBinding          method = 0x001
	methodAllocate         method = 0x003
	methodRefresh          method = 0x004
	methodSend             method = 0x006
	methodData             method = 0x007
	methodCreatePermission method = 0x008
	methodChannelBind      method = 0x009
	methodConnect          method = 0x00A // RFC 6062, never granted
	methodConnectionBind   method = 0x00B
)

type class uint8

const (
	classRequest    class = 0
	classIndication class = 1
	classSuccess    class = 2
	classError      class = 3
)

type attrType uint16

// Attributes that the guard knows. Numbers below 0x8000 must be understood.
const (
	attrUsername         attrType = 0x0006
	attrIntegrity        attrType = 0x0008
	attrErrorCode        attrType = 0x0009
	attrUnknown          attrType = 0x000A
	attrChannelNumber    attrType = 0x000C
	attrLifetime         attrType = 0x000D
	attrXORPeer          attrType = 0x0012
	attrData             attrType = 0x0013
	attrRealm            attrType = 0x0014
	attrNonce            attrType = 0x0015
	attrXORRelayed       attrType = 0x0016
	attrFamily           attrType = 0x0017
	attrEvenPort         attrType = 0x0018
	attrTransport        attrType = 0x0019
	attrXORMapped        attrType = 0x0020
	attrReservationToken attrType = 0x0022
	attrFingerprint      attrType = 0x8028
)

// understood lists the comprehension-required attributes that may stand in a
// request. DONT-FRAGMENT is not among them: we do not set the DF bit, and RFC
// 8656 section 7.2 step 5 then asks for 420.
func (t attrType) understood() bool {
	switch t {
	case attrUsername, attrIntegrity, attrErrorCode, attrUnknown, attrChannelNumber,
		attrLifetime, attrXORPeer, attrData, attrRealm, attrNonce, attrXORRelayed,
		attrFamily, attrEvenPort, attrTransport, attrXORMapped, attrReservationToken:
		return true
	}
	return t >= 0x8000
}

type attr struct {
	typ   attrType
	at    int    // where the value begins in the message
	value []byte // aliases the message
}

// message is a parsed STUN message. Everything in it aliases raw.
type message struct {
	raw         []byte
	method      method
	class       class
	tid         [tidBytes]byte
	attrs       []attr // those before MESSAGE-INTEGRITY; the others do not count
	integrity   int    // offset of the MESSAGE-INTEGRITY attribute, or -1
	fingerprint bool   // had a correct FINGERPRINT
}

var (
	errNotSTUN     = errors.New("not a STUN message")
	errLength      = errors.New("wrong length")
	errAttribute   = errors.New("broken attribute")
	errFingerprint = errors.New("wrong fingerprint")
)

// parse reads one whole STUN message. It is strict where RFC 8489 section 6.3
// says that a message is silently discarded: class bits, cookie, length,
// FINGERPRINT. Attributes after MESSAGE-INTEGRITY are skipped, except
// FINGERPRINT (section 14.5). m's attribute slice is used again.
func (m *message) parse(b []byte) error {
	if len(b) < headerBytes || b[0]&0xC0 != 0 || binary.BigEndian.Uint32(b[4:]) != cookie {
		return errNotSTUN
	}
	length := int(binary.BigEndian.Uint16(b[2:]))
	if length%4 != 0 || length+headerBytes != len(b) {
		return errLength
	}
	m.raw = b
	m.method, m.class = splitType(binary.BigEndian.Uint16(b))
	m.tid = [tidBytes]byte(b[8:headerBytes])
	m.attrs, m.integrity, m.fingerprint = m.attrs[:0], -1, false
	for at := headerBytes; at < len(b); {
		next, err := m.parseAttr(at)
		if err != nil {
			return err
		}
		at = next
	}
	return nil
}

func (m *message) parseAttr(at int) (next int, err error) {
	b := m.raw
	if len(b)-at < 4 {
		return 0, errAttribute
	}
	typ, n := attrType(binary.BigEndian.Uint16(b[at:])), int(binary.BigEndian.Uint16(b[at+2:]))
	next = at + 4 + (n+3)&^3
	if next > len(b) {
		return 0, errAttribute
	}
	value := b[at+4 : at+4+n : at+4+n]
	switch {
	case typ == attrFingerprint:
		if n != 4 || next != len(b) || binary.BigEndian.Uint32(value) != crc32.ChecksumIEEE(b[:at])^crcXOR {
			return 0, errFingerprint
		}
		m.fingerprint = true
	case m.integrity >= 0: // ignored
	case typ == attrIntegrity:
		if n != macBytes {
			return 0, errAttribute
		}
		m.integrity = at
	case len(m.attrs) == maxAttrs:
		return 0, errAttribute
	default:
		m.attrs = append(m.attrs, attr{typ, at + 4, value})
	}
	return next, nil
}

// get returns the value of the first attribute of the type (RFC 8489 section 14).
func (m *message) get(t attrType) ([]byte, bool) {
	a, ok := m.find(t)
	return a.value, ok
}

func (m *message) find(t attrType) (attr, bool) {
	for _, a := range m.attrs {
		if a.typ == t {
			return a, true
		}
	}
	return attr{}, false
}

// unknown returns the comprehension-required attributes that nobody here knows.
func (m *message) unknown() (list []attrType) {
	for _, a := range m.attrs {
		if !a.typ.understood() {
			list = append(list, a.typ)
		}
	}
	return list
}

// authentic verifies MESSAGE-INTEGRITY with a long-term key, in constant time.
func (m *message) authentic(key []byte) bool {
	if m.integrity < 0 {
		return false
	}
	got := m.raw[m.integrity+4 : m.integrity+4+macBytes]
	return hmac.Equal(got, integrity(key, m.raw[:m.integrity]))
}

// integrity is the MAC over a message that ends where MESSAGE-INTEGRITY begins;
// the length field counts as if the message ended after it.
func integrity(key, upTo []byte) []byte {
	var head [4]byte
	copy(head[:], upTo)
	binary.BigEndian.PutUint16(head[2:], uint16(len(upTo)-headerBytes+4+macBytes))
	h := hmac.New(sha1.New, key)
	h.Write(head[:])
	h.Write(upTo[4:])
	return h.Sum(nil)
}

// splitType takes method and class bits apart (RFC 8489 figure 3).
func splitType(v uint16) (method, class) {
	return method(v&0x000F | v&0x00E0>>1 | v&0x3E00>>2), class(v&0x0010>>4 | v&0x0100>>7)
}

func joinType(m method, c class) uint16 {
	v := uint16(m)
	return v&0x000F | v&0x0070<<1 | v&0x0F80<<2 | uint16(c)&1<<4 | uint16(c)&2<<7
}

// xorAddr decodes an XOR-…-ADDRESS value (RFC 8489 section 14.2) as it was sent:
// an IPv4-mapped IPv6 address stays IPv6.
func xorAddr(v []byte, tid [tidBytes]byte) (netip.AddrPort, bool) {
	if len(v) < 4 {
		return netip.AddrPort{}, false
	}
	port := binary.BigEndian.Uint16(v[2:]) ^ cookie>>16
	pad := xorPad(tid)
	switch {
	case v[1] == familyIPv4 && len(v) == 8:
		var a [4]byte
		for i := range a {
			a[i] = v[4+i] ^ pad[i]
		}
		return netip.AddrPortFrom(netip.AddrFrom4(a), port), true
	case v[1] == familyIPv6 && len(v) == 20:
		var a [16]byte
		for i := range a {
			a[i] = v[4+i] ^ pad[i]
		}
		return netip.AddrPortFrom(netip.AddrFrom16(a), port), true
	}
	return netip.AddrPort{}, false
}

// Values of REQUESTED-ADDRESS-FAMILY and of addresses' family octet.
const (
	familyIPv4 = 1
	familyIPv6 = 2
)

func xorPad(tid [tidBytes]byte) (pad [16]byte) {
	binary.BigEndian.PutUint32(pad[:], cookie)
	copy(pad[4:], tid[:])
	return pad
}

// builder writes a STUN message. The zero builder is not usable: see newBuilder.
type builder struct {
	b   []byte
	tid [tidBytes]byte
}

func newBuilder(m method, c class, tid [tidBytes]byte) *builder {
	w := &builder{b: make([]byte, headerBytes, 128), tid: tid}
	binary.BigEndian.PutUint16(w.b, joinType(m, c))
	binary.BigEndian.PutUint32(w.b[4:], cookie)
	copy(w.b[8:], tid[:])
	return w
}

func (w *builder) add(t attrType, v []byte) {
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(t))
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(len(v)))
	w.b = append(w.b, v...)
	for len(w.b)%4 != 0 {
		w.b = append(w.b, 0)
	}
	w.setLength(0)
}

func (w *builder) setLength(more int) {
	binary.BigEndian.PutUint16(w.b[2:], uint16(len(w.b)-headerBytes+more))
}

func (w *builder) addUint32(t attrType, v uint32) {
	w.add(t, binary.BigEndian.AppendUint32(nil, v))
}

func (w *builder) addXORAddr(t attrType, a netip.AddrPort) {
	w.add(t, appendXORAddr(nil, a, w.tid))
}

// appendXORAddr appends the value of an XOR-…-ADDRESS attribute.
func appendXORAddr(dst []byte, a netip.AddrPort, tid [tidBytes]byte) []byte {
	family := byte(familyIPv6)
	if a.Addr().Is4() {
		family = familyIPv4
	}
	dst = append(dst, 0, family)
	dst = binary.BigEndian.AppendUint16(dst, a.Port()^cookie>>16)
	pad := xorPad(tid)
	if family == familyIPv4 {
		v := a.Addr().As4()
		for i, c := range v {
			dst = append(dst, c^pad[i])
		}
		return dst
	}
	v := a.Addr().As16()
	for i, c := range v {
		dst = append(dst, c^pad[i])
	}
	return dst
}

// addError adds ERROR-CODE without a reason phrase: answers stay small.
func (w *builder) addError(code int) {
	w.add(attrErrorCode, []byte{0, 0, byte(code / 100), byte(code % 100)})
}

func (w *builder) addUnknown(list []attrType) {
	var v []byte
	for _, t := range list {
		v = binary.BigEndian.AppendUint16(v, uint16(t))
	}
	w.add(attrUnknown, v)
}

func (w *builder) addIntegrity(key []byte) {
	w.add(attrIntegrity, integrity(key, w.b))
}

func (w *builder) addFingerprint() {
	w.setLength(8)
	w.addUint32(attrFingerprint, crc32.ChecksumIEEE(w.b)^crcXOR)
}

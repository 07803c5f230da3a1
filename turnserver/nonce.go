package turnserver

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"time"
)

const (
	nonceLifetime = time.Hour // RFC 8656 section 5: at most an hour
	nonceMAC      = 8
	nonceBytes    = 4 + nonceMAC
	nonceChars    = nonceBytes * 4 / 3
)

// nonces makes and checks nonces without remembering them: a minute and a MAC
// over it and the client's address. A nonce is worth nothing to another address,
// so a source that shows a valid one has received our answer: it is not spoofed.
type nonces struct {
	key [32]byte
}

func newNonces() *nonces {
	n := &nonces{}
	rand.Read(n.key[:]) // never fails (crypto/rand)
	return n
}

func (n *nonces) make(from netip.AddrPort, now time.Time) []byte {
	var raw [nonceBytes]byte
	binary.BigEndian.PutUint32(raw[:], uint32(now.Unix()/60))
	copy(raw[4:], n.mac(raw[:4], from))
	return base64.RawURLEncoding.AppendEncode(nil, raw[:])
}

func (n *nonces) valid(nonce []byte, from netip.AddrPort, now time.Time) bool {
	if len(nonce) != nonceChars {
		return false
	}
	raw, err := base64.RawURLEncoding.AppendDecode(nil, nonce)
	if err != nil || len(raw) != nonceBytes || !hmac.Equal(raw[4:], n.mac(raw[:4], from)) {
		return false
	}
	age := now.Unix()/60 - int64(binary.BigEndian.Uint32(raw))
	return age >= -1 && age <= int64(nonceLifetime/time.Minute)
}

func (n *nonces) mac(minute []byte, from netip.AddrPort) []byte {
	h := hmac.New(sha256.New, n.key[:])
	h.Write(minute)
	a := from.Addr().As16()
	h.Write(a[:])
	h.Write(binary.BigEndian.AppendUint16(nil, from.Port()))
	return h.Sum(nil)[:nonceMAC]
}

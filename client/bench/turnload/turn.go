package turnload

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // RFC 8489 prescribes it
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 8489 prescribes it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"time"
)

// STUN and TURN, as much as a client on loopback needs (RFC 8489, RFC 8656).
const (
	cookie      = 0x2112A442
	headerBytes = 20

	methodAllocate    = 0x003
	methodChannelBind = 0x009
	success           = 0x100

	attrUsername      = 0x0006
	attrIntegrity     = 0x0008
	attrErrorCode     = 0x0009
	attrChannelNumber = 0x000C
	attrXORPeer       = 0x0012
	attrRealm         = 0x0014
	attrNonce         = 0x0015
	attrXORRelayed    = 0x0016
	attrTransport     = 0x0019

	answerWithin = 500 * time.Millisecond
	attempts     = 6
)

// client is a TURN client over UDP.
type client struct {
	sock     *socket
	server   netip.AddrPort
	username string
	password string
	realm    []byte
	nonce    []byte
	relay    netip.AddrPort
}

// newClient allocates a relay for the given user, from a socket at that address.
func newClient(server, at netip.AddrPort, secret, user string) (*client, error) {
	sock, err := newSocket(at)
	if err != nil {
		return nil, err
	}
	c := &client{sock: sock, server: server, username: strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10) + ":" + user}
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(c.username))
	c.password = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if err := c.allocate(); err != nil {
		sock.close()
		return nil, fmt.Errorf("allocate: %w", err)
	}
	return c, nil
}

func (c *client) allocate() error {
	got, err := c.ask(methodAllocate, attr(attrTransport, []byte{17, 0, 0, 0}))
	if err != nil {
		return err
	}
	if c.relay = xorAddr(got[attrXORRelayed]); !c.relay.IsValid() {
		return errors.New("no relayed address")
	}
	return nil
}

// bind binds or refreshes a channel, and the permission for its peer.
func (c *client) bind(number uint16, peer netip.AddrPort) error {
	v := peer.Addr().As4()
	xored := binary.BigEndian.AppendUint16([]byte{0, 1}, peer.Port()^cookie>>16)
	xored = binary.BigEndian.AppendUint32(xored, binary.BigEndian.Uint32(v[:])^cookie)
	_, err := c.ask(methodChannelBind,
		attr(attrChannelNumber, []byte{byte(number >> 8), byte(number), 0, 0}), attr(attrXORPeer, xored))
	if err != nil {
		return fmt.Errorf("channel %x: %w", number, err)
	}
	return nil
}

// ask sends a request until it succeeds, with the credential that the server asks for.
func (c *client) ask(method uint16, body ...[]byte) (map[uint16][]byte, error) {
	var last error
	for range attempts {
		kind, got, err := c.once(method, body)
		switch {
		case err != nil:
			last = err
		case kind == method|success:
			return got, nil
		case got[attrNonce] != nil: // 401, 438
			c.realm, c.nonce, last = got[attrRealm], got[attrNonce], errors.New("the credential is refused")
		default:
			return nil, fmt.Errorf("refused: %v", got[attrErrorCode])
		}
	}
	return nil, last
}

func (c *client) once(method uint16, body [][]byte) (kind uint16, attrs map[uint16][]byte, err error) {
	b := make([]byte, headerBytes, 300)
	binary.BigEndian.PutUint16(b, method)
	binary.BigEndian.PutUint32(b[4:], cookie)
	rand.Read(b[8:headerBytes])
	for _, a := range body {
		b = append(b, a...)
	}
	if c.nonce != nil {
		b = append(b, attr(attrUsername, []byte(c.username))...)
		b = append(b, attr(attrRealm, c.realm)...)
		b = append(b, attr(attrNonce, c.nonce)...)
		b = c.sign(b)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-headerBytes))
	if err := c.sock.send(b, c.server); err != nil {
		return 0, nil, err
	}
	for deadline := time.Now().Add(answerWithin); ; {
		in, err := c.answer(deadline)
		if err != nil {
			return 0, nil, err
		}
		if len(in) >= headerBytes && in[0] < 2 && string(in[8:headerBytes]) == string(b[8:headerBytes]) {
			return binary.BigEndian.Uint16(in), parse(in[headerBytes:]), nil
		}
	}
}

// answer is the next message of the server.
func (c *client) answer(deadline time.Time) ([]byte, error) {
	in := make([]byte, 2000)
	for time.Now().Before(deadline) {
		if n, _ := c.sock.receive(in); n >= 0 {
			return in[:n], nil
		}
		pause(50 * time.Microsecond)
	}
	return nil, os.ErrDeadlineExceeded
}

// sign appends MESSAGE-INTEGRITY.
func (c *client) sign(b []byte) []byte {
	key := md5.Sum([]byte(c.username + ":" + string(c.realm) + ":" + c.password))
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-headerBytes+4+sha1.Size))
	mac := hmac.New(sha1.New, key[:])
	mac.Write(b)
	return append(b, attr(attrIntegrity, mac.Sum(nil))...)
}

func attr(typ uint16, v []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, typ)
	b = binary.BigEndian.AppendUint16(b, uint16(len(v)))
	b = append(b, v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func parse(b []byte) map[uint16][]byte {
	attrs := map[uint16][]byte{}
	for len(b) >= 4 {
		typ, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b)-4 {
			break
		}
		attrs[typ] = append([]byte{}, b[4:4+n]...)
		b = b[min(4+(n+3)&^3, len(b)):]
	}
	return attrs
}

func xorAddr(v []byte) netip.AddrPort {
	if len(v) != 8 || v[1] != 1 {
		return netip.AddrPort{}
	}
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(v[4:])^cookie)
	return netip.AddrPortFrom(netip.AddrFrom4(a), binary.BigEndian.Uint16(v[2:])^cookie>>16)
}

package api

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Pictures makes the names that members of a room find one another's pictures
// by. A name is a capability: the room tells it to its members, it says nothing
// to them about whose it is, it is another one in every room, and it ends. No
// node needs to know of one that another made. It is safe for concurrent use.
type Pictures struct {
	box   cipher.AEAD
	nonce []byte
}

// picturesFor is how long a name serves at least; at most it is twice that.
const picturesFor = 24 * time.Hour

// NewPictures makes a Pictures of two keys of 32 bytes, its own.
func NewPictures(seal, nonce []byte) (*Pictures, error) {
	if len(seal) != 32 || len(nonce) != 32 {
		return nil, errors.New("api: pictures: keys of 32 bytes are needed")
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return nil, err
	}
	box, err := cipher.NewGCM(block)
	return &Pictures{box, nonce}, err
}

// Name is the name of a member's picture: the same for the same member of the
// same room, for a while.
func (p *Pictures) Name(room protocol.RoomID, member protocol.MemberID, id protocol.UserID, now time.Time) string {
	plain := binary.BigEndian.AppendUint64(nil, uint64(now.Truncate(picturesFor).Add(2*picturesFor).Unix()))
	plain = append(plain, id...)
	mac := hmac.New(sha256.New, p.nonce)
	mac.Write([]byte(string(room) + "\x00" + string(member) + "\x00"))
	mac.Write(plain)
	nonce := mac.Sum(nil)[:p.box.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(p.box.Seal(nonce, nonce, plain, nil))
}

// Whose returns whose picture has the name, else not_found.
func (p *Pictures) Whose(name string, now time.Time) (protocol.UserID, error) {
	missing := protocol.Errorf(protocol.CodeNotFound, "there is no such picture")
	b, err := base64.RawURLEncoding.Strict().DecodeString(name)
	if err != nil || len(b) < p.box.NonceSize() {
		return "", missing
	}
	plain, err := p.box.Open(nil, b[:p.box.NonceSize()], b[p.box.NonceSize():], nil)
	if err != nil || len(plain) < 8 || uint64(now.Unix()) >= binary.BigEndian.Uint64(plain) {
		return "", missing
	}
	return protocol.UserID(plain[8:]), nil
}

// pictureAnswer has the picture as a data: URL; it is empty where there is none,
// and where there is no account.
type pictureAnswer struct {
	Picture string `json:"picture"`
}

func picture(c *call) (answer, error) {
	id, err := c.api.cfg.Pictures.Whose(c.r.PathValue("name"), c.now)
	if err != nil {
		return answer{}, err
	}
	u, err := c.api.cfg.Accounts.Me(c.r.Context(), id)
	if err != nil && protocol.CodeOf(err) != protocol.CodeNotFound {
		return answer{}, err
	}
	if !u.Active || u.Disabled {
		u.Avatar = ""
	}
	return ok(pictureAnswer{u.Avatar})
}

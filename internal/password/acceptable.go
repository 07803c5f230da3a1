package password

import (
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/rondo-chat/rondo/protocol"
)

// Limits of a password.
const (
	MinRunes = 8
	MaxRunes = 256
	MaxBytes = 4 * MaxRunes
)

// Acceptable returns why a new password is refused, as bad_request, or nil. It
// asks for 8 to 256 characters and nothing of their kind, as NIST SP 800-63B
// has it, that the password is not one of those that are tried first (see
// Common), and that it is none of the hints: e-mail address, user name, display
// name, the service's name.
func Acceptable(password string, hints ...string) *protocol.Error {
	password = norm.NFC.String(password)
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password):
		return protocol.Errorf(protocol.CodeBadRequest, "the password is not text")
	case n < MinRunes:
		return protocol.Errorf(protocol.CodeBadRequest, "the password needs at least %d characters", MinRunes)
	case n > MaxRunes:
		return tooLong()
	case Common(password):
		return protocol.Errorf(protocol.CodeBadRequest, "this password is among the first that are guessed")
	case hinted(password, hints):
		return protocol.Errorf(protocol.CodeBadRequest, "the password must not be your name or address")
	}
	return nil
}

func tooLong() *protocol.Error {
	return protocol.Errorf(protocol.CodeBadRequest, "the password is longer than %d characters", MaxRunes)
}

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
	MaxBytes = 4 * MaxRunes // whatever its form
)

// Acceptable returns why a new password is refused, as bad_request, or nil. It
// asks for 8 to 256 characters, of any kind (NIST SP 800-63B), that it is not
// among the first that anybody guesses, and that it is not made of the hints:
// e-mail address, user name, display name.
//
// What is guessed first: a few characters repeated, and what has at most three
// parts of which each is one of a few hundred well-known words of several
// languages (upper case and "p@ssw0rd" do not help), a hint, keys or characters in
// a row, a number of up to four digits, or a single character.
func Acceptable(password string, hints ...string) *protocol.Error {
	if len(password) > MaxBytes {
		return tooLong()
	}
	if !utf8.ValidString(password) {
		return protocol.Errorf(protocol.CodeBadRequest, "the password is not text")
	}
	password = norm.NFC.String(password)
	j := newJudge() // its words are read anew each time: a small part of what hashing costs
	switch n := utf8.RuneCountInString(password); {
	case n < MinRunes:
		return protocol.Errorf(protocol.CodeBadRequest, "the password needs at least %d characters", MinRunes)
	case n > MaxRunes:
		return tooLong()
	case j.common(password, nil):
		return protocol.Errorf(protocol.CodeBadRequest, "this password is among the first that are guessed: make it longer")
	case len(hints) > 0 && j.common(password, hintWords(hints)):
		return protocol.Errorf(protocol.CodeBadRequest, "the password must not be made of your name or address")
	}
	return nil
}

func tooLong() *protocol.Error {
	return protocol.Errorf(protocol.CodeBadRequest, "the password is longer than %d characters", MaxRunes)
}

package mail

import (
	"errors"
	netmail "net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

var errAddress = errors.New("mail: not an address that mail can be sent to")

// Address checks that s is one bare address (RFC 5321, section 4.1.2; with
// RFC 6531's letters) and returns it with its domain in ASCII. Quoted local parts and literal
// addresses in place of a domain are not taken. Its error does not repeat s.
func Address(s string) (string, error) {
	if len(s) > 254 || !utf8.ValidString(s) || strings.ContainsFunc(s, unsafe) {
		return "", errAddress
	}
	parsed, err := netmail.ParseAddress(s)
	if err != nil || parsed.Name != "" || parsed.Address != s {
		return "", errAddress
	}
	local, domain, _ := strings.Cut(s, "@")
	if len(local) > 64 {
		return "", errAddress
	}
	domain, err = idna.Lookup.ToASCII(domain)
	if err != nil || !strings.Contains(domain, ".") && domain != "localhost" {
		return "", errAddress
	}
	return local + "@" + domain, nil
}

// unsafe reports runes that have no place in an address or in a header's line:
// controls, invisible and direction marks, white space, and what separates or
// quotes addresses.
func unsafe(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.IsSpace(r) || strings.ContainsRune(`"(),:;<>[\]`, r)
}

package accounts

import (
	netmail "net/mail"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"github.com/rondo-chat/rondo/internal/text"
	"github.com/rondo-chat/rondo/protocol"
)

// cleanEmail returns an address as it is kept (NFC, trimmed, the domain in ASCII and lower case), and the
// key that makes addresses equal. RFC 5321, section 4.5.3.1 bounds the lengths.
func cleanEmail(s string) (email, key string, err error) {
	bad := protocol.Errorf(protocol.CodeBadRequest, "email: that is no e-mail address")
	if len(s) > 1024 || !utf8.ValidString(s) {
		return "", "", bad
	}
	s = norm.NFC.String(strings.TrimSpace(s))
	parsed, parseErr := netmail.ParseAddress(s)
	if parseErr != nil || parsed.Name != "" || parsed.Address != s || strings.ContainsFunc(s, notInAddress) {
		return "", "", bad
	}
	local, domain, _ := strings.Cut(s, "@")
	domain, domainErr := idna.Lookup.ToASCII(domain)
	if domainErr != nil || len(local) > 64 || !strings.Contains(domain, ".") && domain != "localhost" {
		return "", "", bad
	}
	email = local + "@" + domain
	if len(email) > 254 {
		return "", "", bad
	}
	key = norm.NFC.String(strings.ToLower(local)) + "@" + domain
	if len(key) > 320 {
		return "", "", bad
	}
	return email, key, nil
}

// notInAddress are runes that no address has: controls, marks without a shape, white
// space, and what separates or quotes addresses.
func notInAddress(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.IsSpace(r) || strings.ContainsRune(`"(),:;<>[\]`, r)
}

// cleanUsername returns the username in lower case.
func cleanUsername(s string) (string, error) {
	bad := protocol.Errorf(protocol.CodeBadRequest, "username: 3 to 32 of a-z, 0-9 and _")
	if len(s) < 3 || len(s) > 32 {
		return "", bad
	}
	lower := []byte(s)
	for i, c := range lower {
		switch {
		case 'A' <= c && c <= 'Z':
			lower[i] = c + 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_':
		default:
			return "", bad
		}
	}
	return string(lower), nil
}

// cleanName returns the name; "" is the username.
func cleanName(name, username string) (string, error) {
	name, err := text.Name(name)
	if err == nil && name == "" {
		name = username
	}
	return name, err
}

// cleanLanguage returns the language of mails; "" is English.
func cleanLanguage(s string) (string, error) {
	if s == "" {
		return "en", nil
	}
	return text.Language(s)
}

// cleanDigits takes out of a code what people put between digits.
func cleanDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}

// cleanUserAgent bounds what a client says of itself to what may be stored and shown.
func cleanUserAgent(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 256)]
}

// cleanDeviceName returns the name that an owner gives a device.
func cleanDeviceName(s string) (string, error) {
	name, err := text.Name(s)
	if err != nil {
		return "", err
	}
	return name, nil
}

// short is an address without its last part: enough to recognise a place, too little
// to find a household.
func short(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	bits := 48
	switch {
	case !a.IsValid():
		return ""
	case a.Is4():
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// plainID reports whether s may be an id of a row: else there is no such row.
func plainID(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

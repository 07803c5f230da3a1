package accounts

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what authenticators speak
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"time"
)

// Parameters of RFC 6238 that every authenticator app has: HMAC-SHA-1, 6 digits, 30 s. SHA-1's
// collisions do not touch HMAC.
const (
	totpPeriod  = 30
	totpDigits  = 6
	totpSkew    = 1  // periods that a clock may be off
	totpKeySize = 20 // bytes, RFC 4226 section 4
)

// hotp is the code of a counter (RFC 4226, section 5.3).
func hotp(key []byte, counter uint64, digits int) string {
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, counter))
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0x0f
	n := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	modulus := uint32(1)
	for range digits {
		modulus *= 10
	}
	return fmt.Sprintf("%0*d", digits, n%modulus)
}

// totpStep is the time's counter (RFC 6238, section 4.2).
func totpStep(now time.Time) int64 { return now.Unix() / totpPeriod }

// matchTOTP returns the step whose code it is, of those near now and after the last one that was
// used. All of them are computed and compared, whatever the code.
func matchTOTP(key []byte, code string, now time.Time, last int64) (step int64, ok bool) {
	for s := totpStep(now) - totpSkew; s <= totpStep(now)+totpSkew; s++ {
		right := hmac.Equal([]byte(hotp(key, uint64(s), totpDigits)), []byte(code))
		if right && s > last && !ok {
			step, ok = s, true
		}
	}
	return step, ok
}

// totpSecret is the key as people type it.
func totpSecret(key []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(key)
}

// totpURL is what a QR code holds (the Key Uri Format of Google Authenticator).
func totpURL(service, account string, key []byte) string {
	q := url.Values{"secret": {totpSecret(key)}, "issuer": {service}}
	u := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + service + ":" + account, RawQuery: q.Encode()}
	return u.String()
}

package testenv

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Mail is what an SMTPServer got.
type Mail struct {
	From      string // of the envelope
	To        []string
	User      string // who logged in
	Encrypted bool   // over TLS
	Raw       string // as it came, with CRLF

	Header  mail.Header
	Subject string // decoded
	Text    string // the text/plain part, decoded, with LF
	HTML    string // the text/html part
	Err     error  // what is wrong with Raw
}

// Mails returns all mails so far, in the order of their arrival.
func (s *SMTPServer) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// MailTo waits for the nth mail (from 1) to an address, compared without case, and returns it.
func (s *SMTPServer) MailTo(t testing.TB, address string, nth int) Mail {
	t.Helper()
	var found Mail
	Eventually(t, 20*time.Second, func() bool {
		n := 0
		for _, m := range s.Mails() {
			if slices.ContainsFunc(m.To, func(to string) bool { return strings.EqualFold(to, address) }) {
				if n++; n == nth {
					found = m
					return true
				}
			}
		}
		return false
	}, "mail %d to %s", nth, address)
	if found.Err != nil {
		t.Fatalf("the mail cannot be read: %v\n%s", found.Err, found.Raw)
	}
	return found
}

var mailCode = regexp.MustCompile(`(?m)^\s*(\d{8})\s*$`)

// Code returns the code of 8 digits in the mail's text.
func (m Mail) Code(t testing.TB) string {
	t.Helper()
	found := mailCode.FindStringSubmatch(m.Text)
	if found == nil {
		t.Fatalf("no code in the mail %q:\n%s", m.Subject, m.Text)
	}
	return found[1]
}

func (m *Mail) parse() {
	msg, err := mail.ReadMessage(strings.NewReader(m.Raw))
	if err != nil {
		m.Err = err
		return
	}
	m.Header = msg.Header
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject")); err != nil {
		m.Err = err
		return
	}
	m.Err = m.part(msg.Header.Get("Content-Type"), msg.Header.Get("Content-Transfer-Encoding"), msg.Body)
}

func (m *Mail) part(contentType, encoding string, body io.Reader) error {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("content type %q: %w", contentType, err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		return m.parts(multipart.NewReader(body, params["boundary"]))
	}
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "", "7bit", "8bit":
	default:
		return fmt.Errorf("transfer encoding %q", encoding)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if charset := strings.ToLower(params["charset"]); charset != "utf-8" {
		return fmt.Errorf("charset %q", charset)
	}
	plain := strings.ReplaceAll(string(text), "\r\n", "\n")
	switch kind {
	case "text/plain":
		m.Text = plain
	case "text/html":
		m.HTML = plain
	default:
		return fmt.Errorf("a part of type %q", kind)
	}
	return nil
}

func (m *Mail) parts(r *multipart.Reader) error {
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := m.part(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p); err != nil {
			return err
		}
	}
}

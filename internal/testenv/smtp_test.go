package testenv

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/smtp"
	"strings"
	"testing"
	"time"
)

const sample = "From: Rondo <a@example.org>\r\nTo: b@example.org\r\nSubject: =?UTF-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/alternative; boundary=xx\r\n\r\n--xx\r\nContent-Type: text/plain; charset=UTF-8\r\n" +
	"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n\r\n.12345678\r\n\r\n    12345678\r\n--xx\r\n" +
	"Content-Type: text/html; charset=UTF-8\r\n\r\n<p>hi</p>\r\n--xx--\r\n"

// mailVia sends sample as a careful client does.
func mailVia(s *SMTPServer, mode SMTPMode, user, pass string) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
	conn, err := net.DialTimeout("tcp", s.Addr, 10*time.Second)
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if mode == SMTPTLS {
		conn = tls.Client(conn, config)
	}
	c, err := smtp.NewClient(conn, "127.0.0.1")
	if err != nil {
		_ = conn.Close()
		return err
	}
	defer func() { _ = c.Close() }()
	if mode == SMTPStartTLS {
		if err := c.StartTLS(config); err != nil {
			return err
		}
	}
	if user != "" {
		if err := c.Auth(smtp.PlainAuth("", user, pass, "127.0.0.1")); err != nil {
			return err
		}
	}
	if err := c.Mail("a@example.org"); err != nil {
		return err
	}
	if err := c.Rcpt("b@example.org"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(sample)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

func TestSMTP(t *testing.T) {
	for _, mode := range []SMTPMode{SMTPPlain, SMTPStartTLS, SMTPTLS} {
		t.Run(string(mode), func(t *testing.T) {
			s := SMTP(t, mode)
			if err := mailVia(s, mode, s.Username, s.Password); err != nil {
				t.Fatal(err)
			}
			m := s.MailTo(t, "B@example.org", 1)
			if m.Subject != "Grüße" || m.Text != "Grüße\n\n.12345678\n\n    12345678" || m.HTML != "<p>hi</p>" || m.From != "a@example.org" {
				t.Errorf("%+v", m)
			}
			if m.Code(t) != "12345678" || m.User != "rondo" || m.Encrypted != (mode != SMTPPlain) {
				t.Errorf("%+v", m)
			}
			for _, c := range []struct{ user, pass, want string }{
				{"", "", "530"}, {"rondo", "x", "535"}, {"x", s.Password, "535"},
			} {
				if err := mailVia(s, mode, c.user, c.pass); err == nil || !strings.HasPrefix(err.Error(), c.want) {
					t.Errorf("as %q: %v", c.user, err)
				}
			}
			if mode == SMTPStartTLS {
				if err := mailVia(s, SMTPPlain, "", ""); err == nil || !strings.HasPrefix(err.Error(), "530") {
					t.Errorf("without TLS: %v", err)
				}
			}
		})
	}
}

func TestSMTPScript(t *testing.T) {
	s := SMTP(t, SMTPPlain)
	send := func() error { return mailVia(s, SMTPPlain, s.Username, s.Password) }
	for command, reply := range map[string]string{"": "421 busy", "EHLO": "", "AUTH": "454 later", "MAIL": "451 a", "RCPT": "550 b", "DATA": "", ".": "554 c"} {
		s.Reply(command, 1, reply)
		code, _, _ := strings.Cut(reply, " ")
		if err := send(); err == nil || !strings.Contains(err.Error(), code) {
			t.Errorf("%q answered by %q: %v", command, reply, err)
		}
		if err := send(); err != nil {
			t.Errorf("%q answered by %q, the time after: %v", command, reply, err)
		}
	}
	s.Down()
	if err := send(); err == nil {
		t.Error("sent although the server is down")
	}
	before := len(s.Mails())
	s.Up(t)
	s.Hold(".")
	done := make(chan error, 1)
	go func() { done <- send() }()
	Eventually(t, 10*time.Second, func() bool { return s.Dials() > 0 }, "a connection")
	select {
	case err := <-done:
		t.Errorf("a held command was answered: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.Heal()
	if err := <-done; err != nil || len(s.Mails()) != before+1 {
		t.Errorf("after Heal: %v, %d mails", err, len(s.Mails())-before)
	}
}

package mail_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/internal/testenv"
)

const patience = 20 * time.Second

// logbook is a log that can be read while it is written.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// post is a Worker that sends to a real server, and its outbox.
type post struct {
	t      *testing.T
	outbox *mail.Memory
	sealer *mail.Sealer
	worker *mail.Worker
	log    *logbook
}

func config(s *testenv.SMTPServer, security mail.Security) mail.Config {
	return mail.Config{
		Server: s.Addr, Security: security, CA: s.CA, Username: s.Username, Password: s.Password, From: "Röndo <rondo@example.org>",
		URL: "https://meet.example.org", Poll: 20 * time.Millisecond,
	}
}

func open(t *testing.T, cfg mail.Config) *post {
	t.Helper()
	p := &post{t: t, outbox: mail.NewMemory(), log: &logbook{}}
	var err error
	if p.sealer, err = mail.NewSealer(make([]byte, mail.KeySize)); err != nil {
		t.Fatal(err)
	}
	cfg.Store, cfg.Sealer, cfg.Logger = p.outbox, p.sealer, slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if p.worker, err = mail.New(cfg); err != nil {
		t.Fatal(err)
	}
	p.worker.Start()
	t.Cleanup(p.worker.Close)
	return p
}

func (p *post) put(m mail.Message) mail.Row {
	p.t.Helper()
	r, err := p.sealer.Seal(m, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.outbox.Put(p.t.Context(), r); err != nil {
		p.t.Fatal(err)
	}
	p.worker.Wake()
	return r
}

// becomes waits until so many mails wait and so many are dead.
func (p *post) becomes(waiting, dead int) {
	p.t.Helper()
	testenv.Eventually(p.t, patience, func() bool {
		b, err := p.outbox.Backlog(context.Background())
		return err == nil && b.Waiting == waiting && b.Dead == dead
	}, "%d mails that wait, %d dead", waiting, dead)
}

func (p *post) logs(text string) {
	p.t.Helper()
	testenv.Eventually(p.t, patience, func() bool { return strings.Contains(p.log.String(), text) }, "%q in the log", text)
}

func reset(to string) mail.Message {
	return mail.Message{To: to, Name: "Ana María", Language: "es", Template: mail.Reset, Data: mail.Data{Code: "40718293", Minutes: 10}}
}

func TestSMTP(t *testing.T) {
	for _, security := range []mail.Security{mail.StartTLS, mail.TLS, mail.Plain} {
		t.Run(string(security), func(t *testing.T) {
			t.Parallel()
			s := testenv.SMTP(t, testenv.SMTPMode(security))
			p := open(t, config(s, security))
			r := p.put(reset("Ana@bücher.example"))
			m := s.MailTo(t, "ana@xn--bcher-kva.example", 1)
			if m.Subject != "Tu código para una contraseña nueva" || m.Code(t) != "40718293" || !strings.Contains(m.HTML, "40718293") {
				t.Errorf("%q\n%s\n%s", m.Subject, m.Text, m.HTML)
			}
			if m.Encrypted != (security != mail.Plain) || m.User != s.Username || m.From != "rondo@example.org" {
				t.Errorf("encrypted %t, user %q, from %q", m.Encrypted, m.User, m.From)
			}
			from, err := m.Header.AddressList("From")
			if err != nil || len(from) != 1 || from[0].Name != "Röndo" {
				t.Errorf("From %v, %v", from, err)
			}
			for name, want := range map[string]string{
				"Message-Id": "<" + r.ID + "@example.org>", "Auto-Submitted": "auto-generated", "To": "<Ana@xn--bcher-kva.example>",
				"User-Agent": "", "X-Mailer": "",
			} {
				if got := m.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if _, err := m.Header.Date(); err != nil {
				t.Error(err)
			}
			if head, _, _ := strings.Cut(m.Raw, "\r\n\r\n"); strings.Contains(head, "40718293") {
				t.Error("the code is in a header, which mail servers log")
			}
			p.becomes(0, 0)
		})
	}
}

// TestHeaderInjection: whatever people typed, the mail has the headers that it
// always has, goes to one person, and its text is one text.
func TestHeaderInjection(t *testing.T) {
	s := testenv.SMTP(t, testenv.SMTPPlain)
	p := open(t, config(s, mail.Plain))
	at := time.Now()
	m := mail.Message{To: "a@example.org", Template: mail.NewDevice, Data: mail.Data{Device: "plain", Place: "10.0.0.0/24", At: at}}
	p.put(m)
	want := headerNames(s.MailTo(t, "a@example.org", 1))
	n := 1
	for _, evil := range []string{
		"\r\nBcc: v@example.org", "\nSubject: x", "\r\n\r\nbody", "x\r\n.\r\nMAIL FROM:<e@example.org>", "=?UTF-8?Q?=0D=0ABcc:_v?=",
		"\u0085Bcc: v", "\u2028Bcc: v", "--xx", "\x00\x0b\x0c", strings.Repeat("A", 100_000),
	} {
		n++
		m.Name, m.Language = evil, evil
		m.Data.Device, m.Data.Place = evil, evil
		p.put(m)
		got := s.MailTo(t, "a@example.org", n)
		if names := headerNames(got); names != want {
			t.Errorf("%.20q: the headers are %s, want %s", evil, names, want)
		}
		if len(got.To) != 1 || got.Subject != "New log-in to your account" || len(got.Raw) > 20_000 {
			t.Errorf("%.20q: to %v, subject %q, %d bytes", evil, got.To, got.Subject, len(got.Raw))
		}
		to := "a" + evil + "@example.org"
		if _, err := p.sealer.Seal(mail.Message{To: to, Template: mail.Deleted}, at); err == nil && strings.ContainsAny(to, "\r\n\x00\u0085\u2028") {
			t.Errorf("%.20q was taken in an address", evil)
		}
	}
	if all := len(s.Mails()); all != n {
		t.Errorf("%d mails, want %d", all, n)
	}
}

func headerNames(m testenv.Mail) string {
	var names []string
	head, _, _ := strings.Cut(m.Raw, "\r\n\r\n")
	for line := range strings.Lines(head) {
		if name, _, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") {
			names = append(names, name)
		}
	}
	return fmt.Sprint(names)
}

// TestFailures: what the server says and when decides what becomes of the mail;
// the log says which number it said, and nothing else of it.
func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name, command, reply string
		reason               string
		waiting, dead        int // after it was said once; -1: sent at the second try
	}{
		{"no such person", "RCPT", "550 5.1.1 <private@example.org> unknown", "smtp 550 at RCPT", 0, 1},
		{"no thanks", ".", "554 5.7.1 40718293 is spam for private@example.org", "smtp 554 at the end of DATA", 0, 1},
		{"greylisted", "RCPT", "451 4.7.1 private@example.org later", "smtp 451 at RCPT", 1, 0},
		{"full", "DATA", "452 4.3.1 disk", "smtp 452 at DATA", 1, 0},
		{"lost at the dot", ".", "", "connection lost at the end of DATA", 1, 0},
		{"closing", "RCPT", "421 4.3.2 bye", "smtp 421 at RCPT", -1, 0},
		{"From refused", "MAIL", "553 5.7.1 not your address", "smtp 553 at MAIL", -1, 0},
		{"log-in refused", "AUTH", "535 5.7.8 rondo", "smtp 535 before the mail", -1, 0},
		{"greeting refused", "", "554 go away", "smtp 554 before the mail", -1, 0},
		{"STARTTLS refused", "STARTTLS", "454 4.7.0 no", "smtp 454 before the mail", -1, 0},
		{"lost at RCPT", "RCPT", "", "connection lost at RCPT", -1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := testenv.SMTP(t, testenv.SMTPStartTLS)
			p := open(t, config(s, mail.StartTLS))
			s.Reply(c.command, 1, c.reply)
			p.put(reset("private@example.org"))
			p.logs(c.reason)
			if c.waiting > 0 {
				p.logs("mail: deferred") // by itself, not with all others
			}
			if c.waiting >= 0 {
				p.becomes(c.waiting, c.dead)
				if len(s.Mails()) != 0 {
					t.Error("it was kept")
				}
			} else {
				s.MailTo(t, "private@example.org", 1)
				p.becomes(0, 0)
				p.logs("can be used again")
			}
			p.worker.Close()
			noSecrets(t, p, s)
		})
	}
}

func noSecrets(t *testing.T, p *post, s *testenv.SMTPServer) {
	t.Helper()
	for _, secret := range []string{"private", "40718293", s.Password, "Ana", "5.7.8"} {
		if strings.Contains(p.log.String(), secret) {
			t.Errorf("the log shows %q:\n%s", secret, p.log)
		}
	}
}

// TestDownForAWhile: real connections that are refused, then not.
func TestDownForAWhile(t *testing.T) {
	s := testenv.SMTP(t, testenv.SMTPStartTLS)
	p := open(t, config(s, mail.StartTLS))
	s.Down()
	for i := range 5 {
		p.put(reset(fmt.Sprintf("u%d@example.org", i)))
	}
	p.logs("cannot be used")
	s.Up(t)
	for i := range 5 {
		s.MailTo(t, fmt.Sprintf("u%d@example.org", i), 1)
	}
	p.becomes(0, 0)
	if n := len(s.Mails()); n != 5 {
		t.Errorf("%d mails", n)
	}
}

// TestHangingServer: a server that hangs anywhere is given up after Timeout, and
// the mail arrives once it does not; Close does not wait for it.
func TestHangingServer(t *testing.T) {
	for _, command := range []string{"", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA"} {
		t.Run("at "+command, func(t *testing.T) {
			t.Parallel()
			s := testenv.SMTP(t, testenv.SMTPStartTLS)
			cfg := config(s, mail.StartTLS)
			cfg.Timeout = 300 * time.Millisecond
			p := open(t, cfg)
			s.Hold(command)
			p.put(reset("private@example.org"))
			p.logs("no answer in time")
			s.Heal()
			s.MailTo(t, "private@example.org", 1)
			p.becomes(0, 0)
			noSecrets(t, p, s)
		})
	}
}

func TestCloseBreaksOff(t *testing.T) {
	s := testenv.SMTP(t, testenv.SMTPPlain)
	p := open(t, config(s, mail.Plain))
	s.Hold("RCPT")
	p.put(reset("private@example.org"))
	testenv.Eventually(t, patience, func() bool { return s.Dials() == 1 }, "a connection")
	start := time.Now()
	p.worker.Close()
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("Close took %v", d)
	}
	if rows, err := p.outbox.Lease(t.Context(), "next", time.Now(), time.Now().Add(time.Minute), 1); err != nil || len(rows) != 1 {
		t.Errorf("what was broken off is not there for the next: %v, %v", rows, err)
	}
}

// TestUntrusted: no password and no mail for a server that shows another's
// certificate, an old TLS, or none at all.
func TestUntrusted(t *testing.T) {
	for _, c := range []struct {
		name     string
		mode     testenv.SMTPMode
		security mail.Security
		wrongCA  bool
	}{
		{"another certificate, STARTTLS", testenv.SMTPStartTLS, mail.StartTLS, true},
		{"another certificate, TLS", testenv.SMTPTLS, mail.TLS, true},
		{"no STARTTLS offered", testenv.SMTPPlain, mail.StartTLS, false},
		{"plain server, TLS demanded", testenv.SMTPPlain, mail.TLS, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := testenv.SMTP(t, c.mode)
			cfg := config(s, c.security)
			cfg.Timeout = 2 * time.Second
			if c.wrongCA {
				cfg.CA = testenv.SMTP(t, c.mode).CA
			}
			p := open(t, cfg)
			p.put(reset("private@example.org"))
			p.logs("cannot be used")
			p.becomes(1, 0)
			if len(s.Mails()) != 0 {
				t.Error("it was sent")
			}
			p.worker.Close()
			noSecrets(t, p, s)
		})
	}
}

// TestHostileServer: answers without end, or no SMTP at all.
func TestHostileServer(t *testing.T) {
	for name, say := range map[string]string{
		"not SMTP": "HTTP/1.1 400 Bad Request\r\n\r\n", "no words": "220\r\n", "nonsense": "\x00\xff\r\n", "a number": "4\r\n", "nothing": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = io.WriteString(c, say)
					_ = c.Close()
				}
			}()
			t.Cleanup(func() { _ = l.Close(); <-done })
			p := open(t, mail.Config{Server: l.Addr().String(), Security: mail.Plain, From: "a@example.org", Timeout: time.Second})
			p.put(reset("private@example.org"))
			p.logs("cannot be used")
			p.becomes(1, 0)
		})
	}
}

// TestTwoNodes: two Workers, one outbox, a real server: each mail once.
func TestTwoNodes(t *testing.T) {
	s := testenv.SMTP(t, testenv.SMTPStartTLS)
	p := open(t, config(s, mail.StartTLS))
	second := config(s, mail.StartTLS)
	second.Store, second.Sealer = p.outbox, p.sealer
	other, err := mail.New(second)
	if err != nil {
		t.Fatal(err)
	}
	other.Start()
	t.Cleanup(other.Close)
	const mails = 40
	for i := range mails {
		p.put(reset(fmt.Sprintf("u%d@example.org", i)))
		other.Wake()
	}
	p.becomes(0, 0)
	seen := map[string]int{}
	for _, m := range s.Mails() {
		seen[m.To[0]]++
	}
	for to, n := range seen {
		if n != 1 {
			t.Errorf("%s got %d mails", to, n)
		}
	}
	if len(seen) != mails {
		t.Errorf("%d people got mail", len(seen))
	}
}

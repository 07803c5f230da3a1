package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// smtpDriver sends over SMTP, one connection for each mail.
type smtpDriver struct {
	server, host, port string
	security           Security
	tls                *tls.Config
	username, password string
	from               *netmail.Address
}

// newSMTP makes the driver for a valid Config.
func newSMTP(c *Config) (*smtpDriver, error) {
	host, port, err := net.SplitHostPort(c.Server)
	if err != nil {
		return nil, err
	}
	from, err := sender(c.From)
	if err != nil {
		return nil, err
	}
	d := &smtpDriver{
		server: c.Server, host: host, port: port, security: c.Security, username: c.Username, password: c.Password, from: from,
		tls: &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12},
	}
	if len(c.CA) > 0 {
		d.tls.RootCAs = x509.NewCertPool()
		d.tls.RootCAs.AppendCertsFromPEM(c.CA)
	}
	return d, nil
}

// send implements driver. Whatever the server does, it ends with ctx: the
// connection is closed then.
func (d *smtpDriver) send(ctx context.Context, m rendered) error {
	msg, err := d.message(m)
	if err != nil {
		return &failure{outcome: unreadable, reason: "cannot be written"}
	}
	var conn net.Conn
	client, err := d.client(ctx, func(c net.Conn) { conn = c })
	if err != nil {
		return &failure{outcome: unreachable, reason: "configuration: " + err.Error()}
	}
	defer func() {
		if conn != nil {
			_ = conn.Close() // also on the ways on which go-mail leaves it open
		}
	}()
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return &failure{outcome: unreachable, reason: dialReason(ctx, err)}
	}
	if err := client.SendWithSMTPClient(session, msg); err != nil && !msg.IsDelivered() {
		return sendFailure(ctx, err)
	}
	_ = client.CloseWithSMTPClient(session) // the server has the mail, however QUIT ends
	return nil
}

// client makes a go-mail client that gives the connection that it dials to opened.
func (d *smtpDriver) client(ctx context.Context, opened func(net.Conn)) (*gomail.Client, error) {
	port, err := strconv.Atoi(d.port)
	if err != nil {
		return nil, err
	}
	dial := func(context.Context, string, string) (net.Conn, error) { // its context ends before the mail is sent
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", d.server)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		if d.security == TLS {
			conn = tls.Client(conn, d.tls)
		}
		opened(conn)
		return conn, nil
	}
	policy := gomail.NoTLS
	if d.security == StartTLS {
		policy = gomail.TLSMandatory
	}
	_, domain, _ := strings.Cut(d.from.Address, "@")
	options := []gomail.Option{
		gomail.WithPort(port), gomail.WithTLSPolicy(policy), gomail.WithTLSConfig(d.tls), gomail.WithHELO(domain),
		gomail.WithTimeout(time.Hour), gomail.WithDialContextFunc(dial), gomail.WithoutNoop(), gomail.WithoutRset(),
	}
	if d.username != "" {
		options = append(options, gomail.WithSMTPAuthCustom(&login{username: d.username, password: d.password, host: d.host}))
	}
	return gomail.NewClient(d.host, options...)
}

// message writes the mail. Every header is a constant, checked (To), or
// configured (From).
func (d *smtpDriver) message(m rendered) (*gomail.Msg, error) {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithEncoding(gomail.EncodingQP))
	msg.FromMailAddress(d.from)
	if err := msg.To(m.To); err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(d.from.Address, "@")
	msg.SetMessageIDWithValue(m.ID + "@" + domain)
	msg.Subject(m.Subject)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's absence note answers
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	return msg, nil
}

// dialReason tells why there is no session. No recipient was named yet, so the
// error holds nothing of a person; what the server said may hold the user name.
func dialReason(ctx context.Context, err error) string {
	var said *textproto.Error
	switch {
	case errors.As(err, &said):
		return fmt.Sprintf("smtp %d before the mail (log-in, TLS or greeting)", said.Code)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "no answer in time"
	}
	return err.Error()
}

// sendFailure judges the end of a session. Nothing that the server said goes on
// but numbers: servers like to repeat addresses.
func sendFailure(ctx context.Context, err error) *failure {
	var failed *gomail.SendError
	if !errors.As(err, &failed) {
		return &failure{outcome: unreachable, reason: "the session failed"}
	}
	code, at := failed.ErrorCode(), failed.Reason
	stage := map[gomail.SendErrReason]string{
		gomail.ErrSMTPMailFrom: "MAIL", gomail.ErrSMTPRcptTo: "RCPT", gomail.ErrSMTPData: "DATA", gomail.ErrSMTPDataClose: "the end of DATA",
	}[at]
	if stage == "" {
		stage = "the text"
	}
	switch {
	case code == 421: // RFC 5321, section 3.8: the server closes
		return &failure{outcome: unreachable, reason: "smtp 421 at " + stage}
	case code >= 500 && at == gomail.ErrSMTPMailFrom: // it would say so for every mail
		return &failure{outcome: unreachable, reason: fmt.Sprintf("smtp %d at MAIL: the server does not take our From", code)}
	case code >= 500:
		return &failure{outcome: refused, reason: fmt.Sprintf("smtp %d at %s", code, stage)}
	case code >= 400:
		return &failure{outcome: deferred, reason: fmt.Sprintf("smtp %d at %s", code, stage)}
	}
	reason := "connection lost at " + stage
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		reason = "no answer in time at " + stage
	}
	if at == gomail.ErrSMTPDataClose { // the server may have the mail: not at once again
		return &failure{outcome: deferred, reason: reason}
	}
	return &failure{outcome: unreachable, reason: reason}
}

// login authenticates by PLAIN, or LOGIN where that is not offered.
type login struct {
	username, password, host string
	chosen                   smtp.Auth
}

// Start implements smtp.Auth. Both ways refuse a connection without TLS, but to this machine.
func (l *login) Start(server *smtp.ServerInfo) (string, []byte, error) {
	switch {
	case slices.Contains(server.Auth, "PLAIN"):
		l.chosen = smtp.PlainAuth("", l.username, l.password, l.host, false)
	case slices.Contains(server.Auth, "LOGIN"):
		l.chosen = smtp.LoginAuth(l.username, l.password, l.host, false)
	default:
		return "", nil, errors.New("the server offers neither AUTH PLAIN nor LOGIN")
	}
	return l.chosen.Start(server)
}

// Next implements smtp.Auth.
func (l *login) Next(said []byte, more bool) ([]byte, error) { return l.chosen.Next(said, more) }

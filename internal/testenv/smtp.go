package testenv

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// SMTPServer is a mail server that keeps what it gets: RFC 5321 with STARTTLS,
// AUTH PLAIN and LOGIN, 8BITMIME and SMTPUTF8.
type SMTPServer struct {
	Addr     string // host:port on 127.0.0.1
	CA       []byte // PEM of the certificate that the server shows, for 127.0.0.1 and localhost
	Username string // empty: no AUTH is offered
	Password string

	mode SMTPMode
	tls  *tls.Config

	mu       sync.Mutex
	listener net.Listener // nil while the server is down
	conns    map[net.Conn]bool
	mails    []Mail
	script   []*smtpStep
	dials    int
	serving  sync.WaitGroup
}

// SMTPMode is how a server encrypts.
type SMTPMode string

// The modes.
const (
	SMTPPlain    SMTPMode = "none"     // never; AUTH in the clear
	SMTPStartTLS SMTPMode = "starttls" // mail is refused before STARTTLS
	SMTPTLS      SMTPMode = "tls"      // from the first byte
)

type smtpStep struct {
	command string
	reply   string        // "" without hold: close the connection
	hold    chan struct{} // answer only when this is closed
	times   int           // negative: always
}

// SMTP starts a mail server on a free port that demands credentials, and stops
// it when the test ends.
func SMTP(t testing.TB, mode SMTPMode) *SMTPServer {
	t.Helper()
	s := &SMTPServer{mode: mode, Username: "rondo", Password: "sesame " + rand.Text(), conns: map[net.Conn]bool{}}
	var err error
	if s.tls, s.CA, err = selfSigned(); err != nil {
		t.Fatal(err)
	}
	s.Addr = "127.0.0.1:0"
	s.Up(t)
	t.Cleanup(s.Down)
	return s
}

// Up starts a server that is down, on the port that it had.
func (s *SMTPServer) Up(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		t.Fatalf("smtp: %v", err)
	}
	s.mu.Lock()
	s.listener, s.Addr = l, l.Addr().String()
	s.mu.Unlock()
	s.serving.Go(func() { s.accept(l) })
}

// Down closes the port and all connections, at once.
func (s *SMTPServer) Down() {
	s.mu.Lock()
	if s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
	for c := range s.conns {
		_ = c.Close()
	}
	for _, step := range s.script {
		if step.hold != nil {
			close(step.hold)
		}
	}
	s.script = nil
	s.mu.Unlock()
	s.serving.Wait()
}

// Reply makes the server answer the next times commands that begin with command
// ("RCPT", "AUTH", "." for the end of DATA, "" for the greeting) with reply, or
// close the connection if that is "". Negative times: until Down or Heal.
func (s *SMTPServer) Reply(command string, times int, reply string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, &smtpStep{command: command, reply: reply, times: times})
}

// Hold makes the server take its time with all such commands, until Heal.
func (s *SMTPServer) Hold(command string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, &smtpStep{command: command, hold: make(chan struct{}), times: -1})
}

// Heal ends all that Reply and Hold began.
func (s *SMTPServer) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, step := range s.script {
		if step.hold != nil {
			close(step.hold)
		}
	}
	s.script = nil
}

// Dials returns how many connections were made.
func (s *SMTPServer) Dials() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dials
}

func (s *SMTPServer) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.listener != l { // Down has gone through the connections already
			s.mu.Unlock()
			_ = c.Close()
			return
		}
		s.dials++
		s.conns[c] = true
		s.serving.Go(func() { s.serve(c) })
		s.mu.Unlock()
	}
}

func (s *SMTPServer) serve(c net.Conn) {
	defer func() {
		_ = c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	_ = c.SetDeadline(time.Now().Add(5 * time.Minute))
	p := &smtpPeer{server: s}
	if s.mode == SMTPTLS {
		c, p.encrypted = tls.Server(c, s.tls), true
	}
	p.use(c)
	if !p.scripted("") {
		p.say("220 sink.test ESMTP")
	}
	for p.err == nil {
		line := p.line()
		if p.err != nil || p.scripted(line) {
			continue
		}
		p.command(line)
	}
}

// next returns the step of the script for a command.
func (s *SMTPServer) next(command string) *smtpStep {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, step := range s.script {
		match := step.command == command
		if step.command != "" && step.command != "." {
			match = strings.HasPrefix(strings.ToUpper(command), step.command)
		}
		if match && step.times != 0 {
			step.times--
			return step
		}
	}
	return nil
}

func (s *SMTPServer) keep(m Mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, m)
}

// smtpPeer is one connection.
type smtpPeer struct {
	server    *SMTPServer
	conn      net.Conn
	in        *bufio.Reader
	err       error
	encrypted bool
	user      string
	mail      Mail
}

func (p *smtpPeer) use(c net.Conn) { p.conn, p.in = c, bufio.NewReader(c) }

func (p *smtpPeer) say(lines ...string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.conn, strings.Join(lines, "\r\n")+"\r\n")
	}
}

func (p *smtpPeer) line() string {
	var line string
	if p.err == nil {
		line, p.err = p.in.ReadString('\n')
	}
	return strings.TrimRight(line, "\r\n")
}

// scripted answers as the script says, if it says anything.
func (p *smtpPeer) scripted(command string) bool {
	step := p.server.next(command)
	switch {
	case step == nil:
		return false
	case step.hold != nil:
		<-step.hold
		return false
	case step.reply == "":
		p.err = io.EOF
	default:
		p.say(step.reply)
	}
	return true
}

func (p *smtpPeer) command(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	secure := p.encrypted || p.server.mode == SMTPPlain
	switch {
	case verb == "EHLO" || verb == "HELO":
		p.hello()
	case verb == "NOOP":
		p.say("250 2.0.0 ok")
	case verb == "RSET":
		p.mail = Mail{}
		p.say("250 2.0.0 ok")
	case verb == "QUIT":
		p.say("221 2.0.0 bye")
		p.err = io.EOF
	case verb == "STARTTLS" && !p.encrypted && p.server.mode == SMTPStartTLS:
		p.startTLS()
	case verb == "AUTH" && secure && p.server.Username != "":
		p.auth(rest)
	case !secure:
		p.say("530 5.7.0 STARTTLS first")
	case p.server.Username != "" && p.user == "":
		p.say("530 5.7.0 authentication required")
	default:
		p.transaction(verb, rest)
	}
}

func (p *smtpPeer) hello() {
	lines := []string{"250-sink.test", "250-8BITMIME", "250-SMTPUTF8", "250-ENHANCEDSTATUSCODES"}
	if p.server.mode == SMTPStartTLS && !p.encrypted {
		lines = append(lines, "250-STARTTLS")
	} else if p.server.Username != "" {
		lines = append(lines, "250-AUTH PLAIN LOGIN")
	}
	p.say(append(lines, "250 SIZE 1000000")...)
}

func (p *smtpPeer) startTLS() {
	p.say("220 2.0.0 go on")
	if p.in.Buffered() > 0 { // RFC 3207: nothing said before counts after
		p.err = io.EOF
		return
	}
	conn := tls.Server(p.conn, p.server.tls)
	if p.err = conn.Handshake(); p.err == nil {
		p.encrypted = true
		p.use(conn)
	}
}

func (p *smtpPeer) auth(rest string) {
	method, first, _ := strings.Cut(rest, " ")
	var user, pass string
	switch strings.ToUpper(method) {
	case "PLAIN":
		if first == "" {
			p.say("334 ")
			first = p.line()
		}
		if parts := strings.Split(decode64(first), "\x00"); len(parts) == 3 {
			user, pass = parts[1], parts[2]
		}
	case "LOGIN":
		p.say("334 VXNlcm5hbWU6")
		user = decode64(p.line())
		p.say("334 UGFzc3dvcmQ6")
		pass = decode64(p.line())
	}
	if user != p.server.Username || pass != p.server.Password {
		p.say("535 5.7.8 authentication failed for " + user)
		return
	}
	p.user = user
	p.say("235 2.7.0 ok")
}

func decode64(s string) string {
	b, _ := base64.StdEncoding.DecodeString(s) // "" fails the check that follows
	return string(b)
}

func (p *smtpPeer) transaction(verb, rest string) {
	path, _, _ := strings.Cut(rest, "> ")
	_, path, _ = strings.Cut(path, "<")
	path = strings.TrimSuffix(path, ">")
	switch {
	case verb == "MAIL" && path != "":
		p.mail = Mail{From: path, Encrypted: p.encrypted, User: p.user}
		p.say("250 2.1.0 ok")
	case verb == "RCPT" && path != "" && p.mail.From != "":
		p.mail.To = append(p.mail.To, path)
		p.say("250 2.1.5 ok")
	case verb == "DATA" && len(p.mail.To) > 0:
		p.data()
	default:
		p.say("503 5.5.1 not now: " + verb)
	}
}

// data takes the text up to the lone dot.
func (p *smtpPeer) data() {
	p.say("354 go on")
	var text strings.Builder
	for line := p.line(); p.err == nil && line != "."; line = p.line() {
		text.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
	}
	if p.err != nil || p.scripted(".") {
		return
	}
	m := p.mail
	p.mail = Mail{}
	m.Raw = text.String()
	m.parse()
	p.server.keep(m)
	p.say("250 2.0.0 kept")
}

// selfSigned makes a certificate for this machine.
func selfSigned() (*tls.Config, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sink.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate: %w", err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

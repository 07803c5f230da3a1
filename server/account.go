package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/bus"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/internal/text"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/server/api"
	"github.com/rondo-chat/rondo/signaling"
)

const (
	kindRevoke  bus.Kind = "revoke"  // auth's own: a session of an account is over
	kindProfile bus.Kind = "profile" // an account's name or picture changed
	kindForget  bus.Kind = "forget"  // an account is gone

	bearerProtocol = "bearer." // before an access token in Sec-WebSocket-Protocol
	expiryEvery    = time.Second
	sweepEvery     = time.Hour
)

// Accounts is what a service with accounts is made of: stores that are open
// already, and settings. Fields without a default are required.
type Accounts struct {
	Store       accounts.Store
	Keys        auth.KeyStore
	Revocations auth.RevocationSource
	Passwords   accounts.Passwords
	Mail        accounts.Mailer
	OnMail      func() // a mail is in the outbox; default: nobody is told
	Acceptable  func(password string, hints ...string) *protocol.Error
	Answers     api.Answers       // default: in this process's memory
	Limiter     ratelimit.Limiter // default: in this process's memory
	Cache       accounts.Cache    // default: none
	// Revoked is a copy of Revocations that answers while the database does not; default: none.
	Revoked auth.RevocationCache

	Issuer    string // of access tokens: the public URL; the same on all nodes
	Service   string // the name that authenticator apps show; "Rondo"
	Origin    string // of the page, to which passkeys belong; "": in development, the request's
	Algorithm string // of access tokens; auth.AlgEdDSA
	AccessTTL time.Duration
	Limits    accounts.Limits
	// Secure reports whether a client came by https; nil: looks at the connection.
	Secure func(*http.Request) bool
}

// people is the part of a Server that knows accounts.
type people struct {
	s        *Server
	keyring  *auth.Keyring
	tokens   *auth.Tokens
	revoked  *auth.Revocations
	tickets  *api.Tickets
	pictures *api.Pictures
	accounts *accounts.Accounts
	api      *api.API
	logins   *logins
}

// buildPeople makes the accounts, if there are to be any.
func (s *Server) buildPeople() (err error) {
	cfg := s.cfg.Accounts
	if cfg == nil {
		return nil
	}
	p := &people{s: s, tickets: api.NewTickets(s.cfg.Signer), logins: newLogins()}
	if p.keyring, err = auth.NewKeyring(auth.KeyringConfig{Store: cfg.Keys, Wrap: s.cfg.Signer.Key("jwt keys"), Alg: cfg.Algorithm, Logger: s.log}); err != nil {
		return err
	}
	if p.tokens, err = auth.NewTokens(auth.TokensConfig{Keyring: p.keyring, Issuer: cfg.Issuer, TTL: cfg.AccessTTL}); err != nil {
		return err
	}
	if p.revoked, err = auth.NewRevocations(auth.RevocationsConfig{
		Publish:  func(b []byte) error { return s.bus.Publish(bus.Message{Kind: kindRevoke, Payload: b}) },
		OnRevoke: p.end, Source: cfg.Revocations, Cache: cfg.Revoked, Logger: s.log,
	}); err != nil {
		return err
	}
	if p.pictures, err = api.NewPictures(s.cfg.Signer.Key("picture names"), s.cfg.Signer.Key("picture nonces")); err != nil {
		return err
	}
	ac := accounts.Config{
		Store: cfg.Store, Passwords: cfg.Passwords, Mail: cfg.Mail, Acceptable: cfg.Acceptable, Key: s.cfg.Signer.Key("accounts"), Issue: p.issue, Service: cfg.Service, Origin: cfg.Origin, Limits: cfg.Limits,
		OnRevoked: p.onRevoked, OnProfile: p.onProfile, OnDeleted: p.onDeleted, Cache: cfg.Cache, OnMail: cfg.OnMail, Logger: s.log, Registerer: s.cfg.Registerer,
	}
	if cfg.Limiter != nil {
		ac.Limiter = cfg.Limiter
	}
	if p.accounts, err = accounts.New(ac); err != nil {
		return err
	}
	s.bus.Handle(kindRevoke, func(m bus.Message) { p.revoked.Receive(m.Payload) })
	s.bus.Handle(kindProfile, p.receiveProfile)
	s.bus.Handle(kindForget, func(m bus.Message) { s.chat.Unlearn(protocol.UserID(m.Payload)) })
	s.people = p
	return nil
}

// start makes tokens work and follows what ends.
func (p *people) start(ctx context.Context) error {
	if err := p.keyring.Start(ctx); err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	if err := p.revoked.Start(ctx); err != nil {
		return fmt.Errorf("revocations: %w", err)
	}
	p.s.work.Go(p.watch)
	p.s.work.Go(p.forgetDeparted)
	return nil
}

func (p *people) close() {
	p.revoked.Close()
	p.keyring.Close()
}

// watch closes sockets whose token is over, and has the accounts swept.
func (p *people) watch() {
	tick := time.NewTicker(expiryEvery)
	defer tick.Stop()
	swept := time.Now()
	for {
		select {
		case <-p.s.life.Done():
			return
		case now := <-tick.C:
			for _, sess := range p.logins.expired(now) {
				sess.Close(protocol.CloseAuthExpired, "auth expired")
			}
			if now.Sub(swept) >= sweepEvery {
				swept = now
				p.s.background(func(ctx context.Context) {
					if err := p.accounts.Sweep(ctx); err != nil {
						p.s.log.Warn("accounts: sweep", "err", err)
					}
				})
			}
		}
	}
}

// issue makes the access token of a session.
func (p *people) issue(u accounts.User, session string) (string, time.Time, error) {
	now := time.Now()
	raw, err := p.tokens.Issue(auth.Claims{Identity: u.Identity, Session: session, Roles: u.Roles}, now)
	return raw, now.Truncate(time.Second).Add(p.tokens.TTL()), err
}

// onRevoked ends the sessions' sockets on every node. The rows that tell of them
// are written already, for nodes that do not hear it now.
func (p *people) onRevoked(_ context.Context, sessions []string) {
	for _, session := range sessions {
		p.revoked.Revoke(session, time.Now().Add(p.tokens.TTL()))
	}
	p.s.loggedOut(sessions)
}

// end closes the sockets here of an account's session that is over.
func (p *people) end(session string) {
	for _, sess := range p.logins.of(session) {
		sess.Close(protocol.CloseAuth, "auth")
	}
}

// verify returns what an access token or a ticket says.
func (p *people) verify(raw string, now time.Time) (auth.Claims, error) {
	c, err := p.tokens.Verify(raw, now)
	if err != nil && !strings.Contains(raw[strings.IndexByte(raw, '.')+1:], ".") { // a JWT has three parts, a ticket two
		c, err = p.tickets.Verify(raw, now)
	}
	if err == nil && p.revoked.Revoked(c.Session) {
		err = protocol.Errorf(protocol.CodeUnauthorized, "this session is over: log in again")
	}
	return c, err
}

// shown returns the claims of whoever opens a session; found is false for a
// guest. said is the token that the first message holds, if any.
func (p *people) shown(r signaling.Request, said string) (c auth.Claims, found bool, err error) {
	now := time.Now()
	raw := said
	if raw == "" {
		raw = offered(r)
	}
	if raw != "" {
		c, err = p.verify(raw, now)
		return c, err == nil, err
	}
	// What a browser sends by itself may be old, and must keep nobody out.
	cookies := (&http.Request{Header: r.Header}).CookiesNamed(api.AccessCookie(r.Secure))
	if len(cookies) != 1 {
		return c, false, nil
	}
	if c, err = p.tokens.Verify(cookies[0].Value, now); err != nil || p.revoked.Revoked(c.Session) {
		return auth.Claims{}, false, nil
	}
	return c, true, nil
}

// offered returns the token of the upgrade request's subprotocols or its
// Authorization header, "" if there is none.
func offered(r signaling.Request) string {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for part := range strings.SplitSeq(line, ",") {
			if token, ok := strings.CutPrefix(strings.TrimSpace(part), bearerProtocol); ok {
				return token
			}
		}
	}
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return token
	}
	return ""
}

// mayConnect asks whether who shows the claims may hold a session: hello, resume, auth.
func mayConnect(c auth.Claims) error {
	return auth.Allowed(c.Principal(), auth.ActionConnect, auth.Resource{Owner: c.Identity})
}

func loginOf(c auth.Claims) signaling.Login {
	return signaling.Login{Session: c.Session, Roles: c.Roles, Expires: c.Expires}
}

// principal is who a session acts for.
func principal(sess *signaling.Session) auth.Principal {
	u, l := sess.User(), sess.Login()
	return auth.Principal{Identity: u.ID, Session: l.Session, Roles: l.Roles, Guest: l.Session == ""}
}

// user is the person as others see it. A database that does not answer keeps
// nobody from calling: the name is then the one of the hello.
func (p *people) user(ctx context.Context, c auth.Claims, name string) (protocol.User, error) {
	u := protocol.User{ID: c.Identity, Name: name}
	known, err := p.accounts.Name(ctx, c.Identity)
	switch {
	case err == nil:
		u.Name = known
	case protocol.CodeOf(err) == protocol.CodeNotFound:
		return u, protocol.Errorf(protocol.CodeUnauthorized, "this account is gone")
	default:
		p.s.log.Warn("an account's name could not be read", "err", err)
	}
	if u.Name == "" {
		u.Name = guestName()
	}
	return u, nil
}

// identify is who says hello with an account; ok is false for guests.
func (p *people) identify(ctx context.Context, r signaling.Request, h protocol.Hello) (id signaling.Identity, ok bool, err error) {
	c, found, err := p.shown(r, h.Auth)
	if err != nil || !found {
		return id, false, err
	}
	if err := mayConnect(c); err != nil {
		return id, false, err
	}
	name, err := text.Name(h.Name)
	if err != nil {
		return id, false, err
	}
	u, err := p.user(ctx, c, name)
	return signaling.Identity{User: u, Login: loginOf(c)}, err == nil, err
}

// guest returns the guest of a token: another one if that guest has registered,
// for then the account's own tokens are wanted. keep is false if that could not be
// found out: the client must not take the new identity for its own.
func (p *people) guest(ctx context.Context, id protocol.UserID) (_ protocol.UserID, keep bool) {
	registered, err := p.accounts.Registered(ctx, id)
	if err != nil || registered {
		return p.s.cfg.Guests.NewID(), err == nil
	}
	return id, true
}

// resume decides whether a session goes on at a new socket: a guest's always,
// an account's with a good token, or while the last one is.
func (p *people) resume(ctx context.Context, sess *signaling.Session, r signaling.Request, in protocol.Resume) error {
	c, found, err := p.shown(r, in.Auth)
	if err != nil {
		return err
	}
	if found && c.Identity == sess.User().ID {
		return p.become(ctx, sess, c)
	}
	l := sess.Login()
	if l.Session != "" && (p.revoked.Revoked(l.Session) || !time.Now().Before(l.Expires)) {
		return protocol.Errorf(protocol.CodeUnauthorized, "show a token that is good")
	}
	return nil
}

// become makes the session the account's, and tells the room if that changes how
// others see it.
func (p *people) become(ctx context.Context, sess *signaling.Session, c auth.Claims) error {
	if err := mayConnect(c); err != nil {
		return err
	}
	before := sess.User()
	u := before
	if before.Guest {
		var err error
		if u, err = p.user(ctx, c, before.Name); err != nil {
			return err
		}
	}
	sess.SetLogin(u, loginOf(c))
	p.enter(sess)
	if u.Name == before.Name {
		return nil
	}
	return p.s.rename(ctx, sess, u)
}

// enter notes a session that is an account's.
func (p *people) enter(sess *signaling.Session) {
	l := sess.Login()
	if l.Session == "" {
		return
	}
	p.logins.put(sess, l.Session, sess.User().ID)
	if p.revoked.Revoked(l.Session) { // just before it was noted
		sess.Close(protocol.CloseAuth, "auth")
	}
}

// auth serves the message of this name.
func (s *Server) auth(ctx context.Context, sess *signaling.Session, m *protocol.Message) (any, error) {
	var in protocol.Auth
	if err := m.Unmarshal(&in); err != nil {
		return nil, err
	}
	if s.people == nil {
		return nil, protocol.Errorf(protocol.CodeForbidden, "there are no accounts here")
	}
	now := time.Now()
	c, err := s.people.verify(in.Auth, now)
	if err != nil {
		return nil, err
	}
	if c.Identity != sess.User().ID {
		return nil, protocol.Errorf(protocol.CodeForbidden, "this session is somebody else's: say hello on a new socket")
	}
	if err := s.people.become(ctx, sess, c); err != nil {
		return nil, err
	}
	return protocol.Authed{User: sess.User(), AuthMS: max(c.Expires.Sub(now).Milliseconds(), 1)}, nil
}

// rename gives a session a new name, or only tells its room that it looks
// different now.
func (s *Server) rename(ctx context.Context, sess *signaling.Session, u protocol.User) error {
	sess.SetUser(u)
	st, _, ok := s.seats.of(sess.ID())
	if !ok {
		return nil
	}
	room, me, err := s.registry.Rename(ctx, st.room, sess.ID(), u.Name)
	if err != nil {
		return err
	}
	s.cast(room, castHead{Type: protocol.TypePeerUpdated, Class: signaling.MustDeliver, Except: st.me, Snapshot: &room},
		protocol.PeerUpdated{Peer: s.peer(room.ID, me)})
	return nil
}

// profile is what the nodes tell each other of a changed account.
type profile struct {
	Identity protocol.UserID `json:"i"`
	Name     string          `json:"n"`
	Picture  bool            `json:"p,omitempty"` // it is another one
}

// onProfile tells every node, this one included, of a changed account.
func (p *people) onProfile(_ context.Context, u accounts.User, picture bool) {
	c := profile{u.Identity, u.Name, picture}
	b, err := json.Marshal(c)
	if err != nil {
		return
	}
	p.s.publish(bus.Message{Kind: kindProfile, Payload: b})
	p.changed(c)
	p.s.renamed(u.Identity, u.Name)
}

func (p *people) receiveProfile(m bus.Message) {
	var c profile
	if json.Unmarshal(m.Payload, &c) == nil {
		p.changed(c)
	}
}

// changed gives the account's sessions here its name, and has their rooms look
// at its picture.
func (p *people) changed(c profile) {
	for _, sess := range p.logins.of(string(c.Identity)) {
		u := sess.User()
		if u.Name == c.Name && !c.Picture {
			continue
		}
		u.Name = c.Name
		p.s.background(func(ctx context.Context) {
			if err := p.s.rename(ctx, sess, u); err != nil && !errors.Is(err, context.Canceled) {
				p.s.log.Warn("a new name did not reach the room", "err", err)
			}
		})
	}
}

// peopleObserver keeps the logins up to date beside what the observer does.
type peopleObserver struct {
	observer
	p *people
}

// Opened implements signaling.Observer.
func (o peopleObserver) Opened(sess *signaling.Session) {
	o.p.enter(sess)
	o.observer.Opened(sess)
}

// Restored implements signaling.Observer.
func (o peopleObserver) Restored(sess *signaling.Session, r signaling.Restored) {
	o.p.enter(sess)
	o.observer.Restored(sess, r)
}

// Moved implements signaling.Observer.
func (o peopleObserver) Moved(sess *signaling.Session, to protocol.NodeID) {
	o.p.logins.forget(sess.ID())
	o.observer.Moved(sess, to)
}

// Closed implements signaling.Observer.
func (o peopleObserver) Closed(sess *signaling.Session, reason signaling.CloseReason) {
	o.p.logins.forget(sess.ID())
	o.observer.Closed(sess, reason)
}

package server

import (
	"context"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/files"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/server/api"
)

// buildAPI makes the REST interface, of accounts and of conversations, if there are any.
func (s *Server) buildAPI() (err error) {
	p := s.people
	if p == nil {
		return nil
	}
	cfg := s.cfg.Accounts
	rc := api.Config{
		Accounts: exporting{p.accounts, s}, Tokens: p.tokens, Revoked: p.revoked, Guests: s.cfg.Guests, Tickets: p.tickets, Pictures: p.pictures, JWKS: p.keyring.JWKS, Key: s.cfg.Signer.Key("api"),
		Answers: cfg.Answers, Secure: cfg.Secure, RemoteAddr: s.cfg.RemoteAddr, Logger: s.log, Registerer: s.cfg.Registerer,
	}
	if cfg.Limiter != nil {
		rc.Limiter = cfg.Limiter
	}
	if s.talks != nil {
		rc.Conversations, rc.Translate, rc.PushKey = overREST{s.talks, s}, s.translate, s.cfg.Conversations.PushKey
		if s.talks.files != nil {
			rc.Files = s.talks.files
		}
	}
	p.api, err = api.New(rc)
	return err
}

// buildFiles makes what takes uploads, if they are to be taken.
func (t *talks) buildFiles(s *Server, cfg *Conversations) (err error) {
	if cfg.Blobs == nil {
		return nil
	}
	t.files, err = files.New(files.Config{
		Blobs: cfg.Blobs, Conversations: t.Conversations, Spool: cfg.Spool, Limiter: cfg.Limiter, Logger: s.log, Registerer: s.cfg.Registerer,
	})
	return err
}

// overREST is an api.Conversations: what is done there others see live, as what is done over the WebSocket.
type overREST struct {
	*talks
	s *Server
}

// Mark implements api.Conversations.
func (o overREST) Mark(ctx context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvMark) (protocol.ConvMarked, error) {
	return o.s.mark(ctx, who, room, in)
}

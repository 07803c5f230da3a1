package api

import (
	"encoding/json"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

// TicketTTL is how long a ticket serves.
const TicketTTL = 30 * time.Second

const ticketPurpose = "websocket ticket"

// Signer makes and checks tokens; *auth.Signer is one.
type Signer interface {
	Sign(purpose string, payload []byte) string
	Verify(purpose, token string) ([]byte, error)
}

// Tickets say on an open WebSocket what a cookie says that page script cannot
// read and an open socket never sees. No node needs to know of one that another
// made. It is safe for concurrent use.
type Tickets struct{ signer Signer }

// NewTickets makes a Tickets.
func NewTickets(s Signer) *Tickets { return &Tickets{s} }

type ticket struct {
	Identity protocol.UserID `json:"sub"`
	Session  string          `json:"sid"`
	Roles    []auth.Role     `json:"roles"`
	Expires  int64           `json:"exp"`   // of the access token; Unix seconds
	Until    int64           `json:"until"` // of the ticket; Unix milliseconds
}

// Issue returns a ticket for the claims, good for TicketTTL; what it opens lasts
// until the claims expire.
func (t *Tickets) Issue(c auth.Claims, now time.Time) string {
	b, err := json.Marshal(ticket{c.Identity, c.Session, c.Roles, c.Expires.Unix(), now.Add(TicketTTL).UnixMilli()})
	if err != nil { // strings and numbers do not fail
		return ""
	}
	return t.signer.Sign(ticketPurpose, b)
}

// Verify returns the claims of a ticket, else unauthorized.
func (t *Tickets) Verify(raw string, now time.Time) (auth.Claims, error) {
	b, err := t.signer.Verify(ticketPurpose, raw)
	if err != nil {
		return auth.Claims{}, err
	}
	var k ticket
	if json.Unmarshal(b, &k) != nil || now.UnixMilli() >= k.Until || now.Unix() >= k.Expires {
		return auth.Claims{}, protocol.Errorf(protocol.CodeUnauthorized, "the ticket is over")
	}
	return auth.Claims{Identity: k.Identity, Session: k.Session, Roles: k.Roles, Expires: time.Unix(k.Expires, 0)}, nil
}

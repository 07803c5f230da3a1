package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

type userAnswer struct {
	ID          protocol.UserID `json:"id"`
	Email       string          `json:"email"`
	Username    string          `json:"username"`
	Name        string          `json:"name"`
	Avatar      string          `json:"avatar,omitempty"`
	Language    string          `json:"language,omitempty"`
	Languages   []string        `json:"languages"`
	Interests   []string        `json:"interests"`
	Roles       []auth.Role     `json:"roles"`
	TOTP        bool            `json:"totp"`
	CreatedAt   int64           `json:"created_at"`
	LastLoginAt int64           `json:"last_login_at,omitempty"`
}

func userOf(u accounts.User) userAnswer {
	return userAnswer{
		ID: u.Identity, Email: u.Email, Username: u.Username, Name: u.Name, Avatar: u.Avatar, Language: u.Language,
		Languages: listOf(u.Languages), Interests: listOf(u.Interests), Roles: listOf(u.Roles), TOTP: u.TOTP,
		CreatedAt: millis(u.Created), LastLoginAt: millis(u.LastLogin),
	}
}

// listOf makes a missing list an empty one.
func listOf[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// millis is the time on the wire; 0 for none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// profile answers with the account and its version.
func profile(u accounts.User) (answer, error) {
	return answer{status: http.StatusOK, body: userOf(u), header: map[string]string{"ETag": etag(u.Version)}}, nil
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

func me(c *call) (answer, error) {
	u, err := c.api.cfg.Accounts.Me(c.r.Context(), c.who.Identity)
	if protocol.CodeOf(err) == protocol.CodeNotFound {
		err = protocol.Errorf(protocol.CodeUnauthorized, "this account is gone")
	}
	if err != nil {
		return answer{}, err
	}
	return profile(u)
}

type profileRequest struct {
	Name      *string   `json:"name" max:"1024"`
	Avatar    *string   `json:"avatar" max:"100000"`
	Languages *[]string `json:"languages" max:"35"`
	Interests *[]string `json:"interests" max:"256"`
	Language  *string   `json:"language" max:"35"`
}

func updateMe(c *call) (answer, error) {
	in, err := decode[profileRequest](c)
	if err != nil {
		return answer{}, err
	}
	if in == (profileRequest{}) {
		return answer{}, protocol.Errorf(protocol.CodeBadRequest, "there is nothing to change")
	}
	version, err := strconv.ParseInt(strings.Trim(c.r.Header.Get("If-Match"), `"`), 10, 64)
	if err != nil || version <= 0 || c.r.Header.Get("If-Match") != etag(version) {
		return answer{}, protocol.Errorf(protocol.CodeChanged, "If-Match: send the ETag that you read")
	}
	u, err := c.api.cfg.Accounts.UpdateProfile(c.r.Context(), c.who.Identity, version, accounts.Patch(in))
	if err != nil {
		return answer{}, err
	}
	return profile(u)
}

// confirmRequest is for steps that a stolen session must not be able to take.
type confirmRequest struct {
	Password string `json:"password" need:"true" max:"1024"`
	Code     string `json:"code" max:"64"`
}

func (c *call) proof() (accounts.Proof, error) {
	in, err := decode[confirmRequest](c)
	return accounts.Proof(in), err
}

// leave is the end of all sessions, also of the one that asks.
func (c *call) leave(err error) (answer, error) {
	if err == nil {
		c.forget()
	}
	return c.done(err)
}

func deleteMe(c *call) (answer, error) {
	p, err := c.proof()
	if err != nil {
		return answer{}, err
	}
	return c.leave(c.api.cfg.Accounts.Delete(c.r.Context(), c.who.Identity, p))
}

func deactivateMe(c *call) (answer, error) {
	p, err := c.proof()
	if err != nil {
		return answer{}, err
	}
	return c.leave(c.api.cfg.Accounts.Deactivate(c.r.Context(), c.who.Identity, p))
}

func exportMe(c *call) (answer, error) {
	e, err := c.api.cfg.Accounts.Export(c.r.Context(), c.who.Identity)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: e, header: map[string]string{
		"Content-Disposition": `attachment; filename="rondo-export.json"`,
	}}, nil
}

// primaryLanguage is the first language of an Accept-Language; "" if that is
// not readable.
func primaryLanguage(header string) string {
	if len(header) > maxUserAgent {
		return ""
	}
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil || len(tags) == 0 {
		return ""
	}
	base, _ := tags[0].Base()
	return base.String()
}

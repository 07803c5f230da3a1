package api

import (
	"slices"
	"strconv"
	"strings"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	defaultPage = 50
	maxPage     = 100
	maxQuery    = 254
)

type adminUser struct {
	ID          protocol.UserID `json:"id"`
	Email       string          `json:"email"`
	Username    string          `json:"username"`
	Name        string          `json:"name"`
	Roles       []auth.Role     `json:"roles"`
	TOTP        bool            `json:"totp"`
	Disabled    bool            `json:"disabled"`
	Active      bool            `json:"active"`
	CreatedAt   int64           `json:"created_at"`
	LastLoginAt int64           `json:"last_login_at,omitempty"`
}

func adminUserOf(u accounts.User) adminUser {
	return adminUser{
		ID: u.Identity, Email: u.Email, Username: u.Username, Name: u.Name, Roles: listOf(u.Roles), TOTP: u.TOTP,
		Disabled: u.Disabled, Active: u.Active && !u.Disabled, CreatedAt: millis(u.Created), LastLoginAt: millis(u.LastLogin),
	}
}

type usersAnswer struct {
	Users []adminUser     `json:"users"`
	Next  protocol.UserID `json:"next,omitempty"`
}

func users(c *call) (answer, error) {
	p, err := c.page()
	if err != nil {
		return answer{}, err
	}
	limit := p.Limit
	p.Limit++ // one more tells whether there is a next page
	list, err := c.api.cfg.Accounts.List(c.r.Context(), p)
	if err != nil {
		return answer{}, err
	}
	out := usersAnswer{Users: []adminUser{}}
	for _, u := range list[:min(limit, len(list))] {
		out.Users = append(out.Users, adminUserOf(u))
	}
	if len(list) > limit {
		out.Next = list[limit-1].Identity
	}
	return ok(out)
}

// page reads what part of the list is asked for.
func (c *call) page() (p accounts.Page, err error) {
	bad := func(name string) (accounts.Page, error) {
		return p, protocol.Errorf(protocol.CodeBadRequest, "%s: not readable", name)
	}
	q := c.r.URL.Query()
	p = accounts.Page{Search: q.Get("query"), After: protocol.UserID(q.Get("after")), Limit: defaultPage}
	if s := q.Get("limit"); s != "" {
		if p.Limit, err = strconv.Atoi(s); err != nil || p.Limit < 1 || p.Limit > maxPage {
			return bad("limit")
		}
	}
	if p.After != "" && !auth.IsUserID(p.After) {
		return bad("after")
	}
	if len(p.Search) > maxQuery || strings.ToValidUTF8(p.Search, "\x00") != p.Search || strings.ContainsRune(p.Search, 0) {
		return bad("query")
	}
	return p, nil
}

type userRequest struct {
	Roles    *[]auth.Role `json:"roles" max:"16"`
	Disabled *bool        `json:"disabled"`
}

func (r userRequest) check(self bool) error {
	if r == (userRequest{}) {
		return protocol.Errorf(protocol.CodeBadRequest, "there is nothing to change")
	}
	if r.Roles != nil {
		for _, role := range *r.Roles {
			if !role.Known() {
				return protocol.Errorf(protocol.CodeBadRequest, "roles: there is no such role")
			}
		}
	}
	if self && (r.Disabled != nil && *r.Disabled || r.Roles != nil && !slices.Contains(*r.Roles, auth.RoleAdmin)) {
		return protocol.Errorf(protocol.CodeForbidden, "that would lock yourself out: let another administrator do it")
	}
	return nil
}

func updateUser(c *call) (answer, error) {
	in, err := decode[userRequest](c)
	if err != nil {
		return answer{}, err
	}
	id := protocol.UserID(c.r.PathValue("identity"))
	if !auth.IsUserID(id) {
		return answer{}, protocol.Errorf(protocol.CodeNotFound, "there is no such user")
	}
	if err := in.check(id == c.who.Identity); err != nil {
		return answer{}, err
	}
	var u accounts.User
	if in.Disabled != nil {
		if u, err = c.api.cfg.Accounts.SetDisabled(c.r.Context(), c.who.Identity, id, *in.Disabled); err != nil {
			return answer{}, err
		}
	}
	if in.Roles != nil {
		if u, err = c.api.cfg.Accounts.SetRoles(c.r.Context(), c.who.Identity, id, *in.Roles); err != nil {
			return answer{}, err
		}
	}
	return ok(adminUserOf(u))
}

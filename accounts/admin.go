package accounts

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

// maxSearch bounds Page.Search in bytes: the length of the longest address.
const maxSearch = 254

// List returns a page of users, for administrators. Errors: bad_request (Page.After is nobody, Page.Search is no text).
func (a *Accounts) List(ctx context.Context, p Page) ([]User, error) {
	if p.Limit <= 0 {
		p.Limit = 50
	}
	p.Limit = min(p.Limit, 200)
	if len(p.Search) > maxSearch || !utf8.ValidString(p.Search) || strings.ContainsRune(p.Search, 0) {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "query: text of at most %d bytes", maxSearch)
	}
	p.Search = strings.ToLower(p.Search)
	users := []User{}
	err := a.cfg.Store.Read(ctx, "users", func(r Reader) error {
		users = []User{}
		if p.After != "" && !plainID(string(p.After)) {
			return ErrNotFound
		}
		rows, err := r.Users(p)
		for _, u := range rows {
			users = append(users, u.User)
		}
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "after: there is no such account")
	}
	return users, err
}

// SetRoles sets a user's roles besides RoleUser. If one was taken away the user's sessions end, whose
// tokens have it. actor did it; "" is the command line. Errors: not_found, bad_request, forbidden (nobody
// gives up RoleAdmin, and one administrator stays).
func (a *Accounts) SetRoles(ctx context.Context, actor, identity protocol.UserID, roles []auth.Role) (User, error) {
	roles, err := cleanRoles(roles)
	if err != nil {
		return User{}, err
	}
	var after UserRow
	err = a.change(ctx, "roles", identity, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		lost := slices.ContainsFunc(u.Roles, func(r auth.Role) bool { return !slices.Contains(roles, r) })
		if u.Has(auth.RoleAdmin) && !slices.Contains(roles, auth.RoleAdmin) {
			if err := mayStepDown(tx, actor, u); err != nil {
				return nil, err
			}
		}
		u.Roles = roles
		after = u
		if err := a.administer(tx, actor, u, EventRoles, now); err != nil || !lost {
			return nil, err
		}
		return a.endSessions(tx, u.ID, now, func(SessionRow) bool { return true })
	})
	if err != nil {
		return User{}, err
	}
	return after.User, nil
}

func cleanRoles(roles []auth.Role) ([]auth.Role, error) {
	clean := []auth.Role{auth.RoleUser}
	for _, r := range roles {
		switch r {
		case auth.RoleUser, auth.RoleModerator, auth.RoleAdmin, auth.RoleService:
			clean = append(clean, r)
		default:
			return nil, protocol.Errorf(protocol.CodeBadRequest, "roles: there is no such role")
		}
	}
	slices.Sort(clean)
	return slices.Compact(clean), nil
}

// mayStepDown: an administrator does not take the service away from itself.
func mayStepDown(r Reader, actor protocol.UserID, u UserRow) error {
	if actor == u.Identity {
		return protocol.Errorf(protocol.CodeForbidden, "another administrator has to do this")
	}
	return keepAdmin(r, u)
}

// administer stores the user as an administrator changed it.
func (a *Accounts) administer(tx Tx, actor protocol.UserID, u UserRow, event Event, now time.Time) error {
	if err := tx.UpdateUser(u); err != nil {
		return err
	}
	line := AuditRow{Detail: "command line"}
	if actor != "" {
		by, err := a.user(tx, actor)
		if err != nil {
			return err
		}
		line = AuditRow{Actor: by.ID}
	}
	return a.log(tx, event, u.ID, now, line)
}

// SetDisabled shuts an account, ending all sessions, or opens it again. Errors: not_found, forbidden
// (nobody disables themselves or the only administrator).
func (a *Accounts) SetDisabled(ctx context.Context, actor, identity protocol.UserID, disabled bool) (User, error) {
	var after UserRow
	err := a.change(ctx, "disable", identity, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		event := EventEnabled
		if disabled {
			event = EventDisabled
			if err := mayStepDown(tx, actor, u); err != nil {
				return nil, err
			}
		}
		u.Disabled = disabled
		after = u
		if err := a.administer(tx, actor, u, event, now); err != nil || !disabled {
			return nil, err
		}
		return a.endSessions(tx, u.ID, now, func(SessionRow) bool { return true })
	})
	if err != nil {
		return User{}, err
	}
	return after.User, nil
}

// Find returns the user with an e-mail address, a username or an identity: for the command line. Errors:
// not_found, bad_request (a username that is somebody else's identity).
func (a *Accounts) Find(ctx context.Context, who string) (User, error) {
	var u UserRow
	err := a.cfg.Store.Read(ctx, "find", func(r Reader) (err error) {
		u, err = find(r, who)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		err = errNoUser()
	}
	if err != nil {
		return User{}, err
	}
	return u.User, nil
}

func find(r Reader, who string) (UserRow, error) {
	if strings.Contains(who, "@") {
		_, key, err := cleanEmail(who)
		if err != nil {
			return UserRow{}, err
		}
		return r.User(ByEmail, key)
	}
	if !plainID(strings.ToLower(who)) {
		return UserRow{}, ErrNotFound
	}
	u, err := r.User(ByUsername, strings.ToLower(who))
	named, err := exists(err)
	if err != nil {
		return u, err
	}
	other, err := r.User(ByIdentity, who)
	identified, err := exists(err)
	switch {
	case err != nil:
		return u, err
	case !named && !identified:
		return u, ErrNotFound
	case identified && named && other.ID != u.ID: // somebody may choose such a username to be mistaken
		return u, protocol.Errorf(protocol.CodeBadRequest, "that is the identity of one and the username of another: use the e-mail address")
	case identified:
		return other, nil
	}
	return u, nil
}

// CreateAdmin makes a user with RoleAdmin whose address counts as verified, of r's Email, Username, Password, Name and
// Language: for the command line. Errors: bad_request, taken (the username), already (the address).
func (a *Accounts) CreateAdmin(ctx context.Context, r Registration) (User, error) {
	g, err := a.cleanRegistration(r)
	if err != nil {
		return User{}, err
	}
	if g.Password, err = a.cfg.Passwords.Hash(ctx, r.Password); err != nil {
		return User{}, err
	}
	now := a.now()
	var u UserRow
	err = a.write(ctx, "create_admin", func(tx Tx) error {
		_, err := tx.User(ByEmail, g.EmailKey)
		found, err := exists(err)
		if err != nil {
			return err
		}
		if found {
			return protocol.Errorf(protocol.CodeAlready, "email: somebody has it")
		}
		if err := a.reserve(tx, g, now); err != nil {
			return err
		}
		if u, err = a.newUser(tx, g, now); err != nil {
			return err
		}
		u.Roles, u.LastLogin = []auth.Role{auth.RoleAdmin, auth.RoleUser}, time.Time{}
		if err := tx.UpdateUser(u); err != nil {
			return err
		}
		return a.log(tx, EventAdminCreated, u.ID, now, AuditRow{Detail: "command line"})
	})
	if err != nil {
		return User{}, err
	}
	return u.User, nil
}

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"golang.org/x/term"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

// create makes an administrator.
func (o *office) create(ctx context.Context) error {
	if o.email == "" || o.username == "" {
		return fmt.Errorf("%w: --email and --username are needed", errUsage)
	}
	secret, err := o.password(ctx)
	if err != nil {
		return err
	}
	people, err := o.accounts(ctx, true)
	if err != nil {
		return err
	}
	u, err := people.CreateAdmin(ctx, accounts.Registration{Email: o.email, Username: o.username, Password: secret, Name: o.name})
	if err != nil {
		return err
	}
	fmt.Fprintf(o.out, "%s is an administrator and can log in\n", called(u))
	return nil
}

// maxPasswordInput is how much is read of a password in bytes.
const maxPasswordInput = 4 << 10

// password reads the new password: from the file that is named, or twice from the terminal.
func (o *office) password(ctx context.Context) (string, error) {
	switch o.passwordFile {
	case "":
	case "-":
		b, err := io.ReadAll(io.LimitReader(o.in, maxPasswordInput))
		return strings.TrimRight(string(b), "\r\n"), err
	default:
		return readSecret("password-file", o.passwordFile)
	}
	if !term.IsTerminal(int(o.in.Fd())) {
		return "", fmt.Errorf("%w: there is no terminal to ask for the password: use --password-file FILE, or - for standard input", errUsage)
	}
	first, err := o.ask(ctx, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := o.ask(ctx, "Once more: ")
	if err == nil && !bytes.Equal(first, second) {
		err = errors.New("that was not the same password")
	}
	return string(first), err
}

// ask reads a line from the terminal that is not shown. When ctx ends the terminal shows again what is typed.
func (o *office) ask(ctx context.Context, prompt string) ([]byte, error) {
	fd := int(o.in.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	fmt.Fprint(o.errs, prompt)
	go func() {
		text, err := term.ReadPassword(fd)
		answers <- answer{text, err}
	}()
	defer fmt.Fprintln(o.errs)
	select {
	case a := <-answers:
		return a.text, a.err
	case <-ctx.Done(): // the read is left to the end of the process
		return nil, errors.Join(ctx.Err(), term.Restore(fd, state))
	}
}

// listed is an account as list shows it.
type listed struct {
	Identity  protocol.UserID `json:"identity"`
	Email     string          `json:"email"`
	Username  string          `json:"username"`
	Name      string          `json:"name"`
	Roles     []auth.Role     `json:"roles"`
	Active    bool            `json:"active"`
	Disabled  bool            `json:"disabled"`
	TOTP      bool            `json:"totp"`
	Created   time.Time       `json:"created"`
	LastLogin *time.Time      `json:"last_login"` // null: never
}

// listPage is how many accounts are read at once.
const listPage = 200

// list prints accounts, page after page.
func (o *office) list(ctx context.Context) error {
	role := auth.Role(o.role)
	switch role {
	case "", auth.RoleUser, auth.RoleModerator, auth.RoleAdmin, auth.RoleService:
	default:
		return fmt.Errorf("%w: --role: %q is none of admin, moderator, service, user", errUsage, o.role)
	}
	people, err := o.accounts(ctx, false)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	write := func(u accounts.User) error {
		_, err := fmt.Fprintln(table, strings.Join([]string{
			u.Username, printable(u.Email), string(u.Identity), joinRoles(u.Roles), stateOf(u), yes(u.TOTP), day(u.Created), day(u.LastLogin),
		}, "\t"))
		return err
	}
	if o.json {
		encoder := json.NewEncoder(o.out)
		write = func(u accounts.User) error { return encoder.Encode(lineOf(u)) }
	} else {
		fmt.Fprintln(table, "USERNAME\tE-MAIL\tIDENTITY\tROLES\tSTATE\t2FA\tCREATED\tLAST LOGIN")
	}
	for page := (accounts.Page{Search: o.search, Limit: listPage}); ; {
		users, err := people.List(ctx, page)
		if err != nil {
			return err
		}
		for _, u := range users {
			if role != "" && !u.Has(role) {
				continue
			}
			if err := write(u); err != nil {
				return err
			}
		}
		if err := table.Flush(); err != nil || len(users) < listPage {
			return err
		}
		page.After = users[len(users)-1].Identity
	}
}

func lineOf(u accounts.User) listed {
	l := listed{
		Identity: u.Identity, Email: u.Email, Username: u.Username, Name: u.Name, Roles: u.Roles,
		Active: u.Active, Disabled: u.Disabled, TOTP: u.TOTP, Created: u.Created,
	}
	if !u.LastLogin.IsZero() {
		l.LastLogin = &u.LastLogin
	}
	return l
}

func joinRoles(roles []auth.Role) string {
	words := make([]string, len(roles))
	for i, r := range roles {
		words[i] = string(r)
	}
	return strings.Join(words, ",")
}

func stateOf(u accounts.User) string {
	switch {
	case u.Disabled:
		return "disabled"
	case !u.Active:
		return "resting"
	}
	return "active"
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

// printable keeps what steers a terminal out of it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// called names a user in a message.
func called(u accounts.User) string { return fmt.Sprintf("%s (%s)", u.Username, printable(u.Email)) }

// disable shuts an account. Servers learn from the database which sessions ended.
func (o *office) disable(ctx context.Context) error { return o.setDisabled(ctx, true) }

// enable opens it again.
func (o *office) enable(ctx context.Context) error { return o.setDisabled(ctx, false) }

func (o *office) setDisabled(ctx context.Context, disabled bool) error {
	people, u, err := o.find(ctx)
	if err != nil {
		return err
	}
	if u, err = people.SetDisabled(ctx, "", u.Identity, disabled); err != nil {
		return err
	}
	if disabled {
		fmt.Fprintf(o.out, "%s is disabled; servers close the sessions within 2 seconds\n", called(u))
	} else {
		fmt.Fprintf(o.out, "%s is enabled\n", called(u))
	}
	return nil
}

// roles sets the roles of an account.
func (o *office) roles(ctx context.Context) error {
	if len(o.set) == 0 {
		return fmt.Errorf("%w: --set is missing: user alone takes all other roles away", errUsage)
	}
	var roles []auth.Role
	for _, r := range o.set {
		roles = append(roles, auth.Role(r))
	}
	people, u, err := o.find(ctx)
	if err != nil {
		return err
	}
	if u, err = people.SetRoles(ctx, "", u.Identity, roles); err != nil {
		return err
	}
	fmt.Fprintf(o.out, "%s has the roles %s\n", called(u), joinRoles(u.Roles))
	return nil
}

// find looks the operand up.
func (o *office) find(ctx context.Context) (*accounts.Accounts, accounts.User, error) {
	people, err := o.accounts(ctx, false)
	if err != nil {
		return nil, accounts.User{}, err
	}
	u, err := people.Find(ctx, o.operand)
	if errors.Is(err, &protocol.Error{Code: protocol.CodeNotFound}) {
		err = fmt.Errorf("there is no account %s", cmp.Or(printable(o.operand), `""`))
	}
	return people, u, err
}

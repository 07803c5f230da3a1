package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/auth"
	chatsql "github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/internal/password"
	"github.com/rondo-chat/rondo/protocol"
)

// adminCommand is one of the commands of rondo admin.
type adminCommand struct {
	name    string
	operand string // what its one argument is; "": it has none
	does    string
	flags   func(*adminFlags, *flag.FlagSet)
	run     func(*office, context.Context) error
}

// adminFlags are the flags of all commands besides the settings.
type adminFlags struct {
	email, username, name string
	passwordFile          string
	role, search          string
	json                  bool
	set                   stringList
	otherSecret           bool
	to, toPasswordFile    string
}

func adminCommands() []adminCommand {
	none := func(*adminFlags, *flag.FlagSet) {}
	return []adminCommand{
		{"create", "", "make an administrator, the first one or another", func(f *adminFlags, fs *flag.FlagSet) {
			fs.StringVar(&f.email, "email", "", "e-mail `address`; it counts as verified")
			fs.StringVar(&f.username, "username", "", "`name` to log in with: 3 to 32 of a-z, 0-9 and _")
			fs.StringVar(&f.name, "name", "", "`name` that others see (default: the username)")
			fs.StringVar(&f.passwordFile, "password-file", "", "`file` with the password, - for standard input (default: asked for)")
		}, (*office).create},
		{"list", "", "list the accounts, the oldest first", func(f *adminFlags, fs *flag.FlagSet) {
			fs.StringVar(&f.role, "role", "", "only accounts with this `role`: admin, moderator, service")
			fs.StringVar(&f.search, "search", "", "only accounts whose e-mail address, username or identity begins with this `text`")
			fs.BoolVar(&f.json, "json", false, "one line of JSON for each account")
		}, (*office).list},
		{"disable", "USER", "shut an account: nobody can log in, its sessions end everywhere", none, (*office).disable},
		{"enable", "USER", "open it again", none, (*office).enable},
		{"roles", "USER", "set the roles of an account", func(f *adminFlags, fs *flag.FlagSet) {
			fs.Var(&f.set, "set", "comma-separated `roles`: user, moderator, admin, service")
		}, (*office).roles},
		{"rotate-keys", "", "make a new key for access tokens", none, (*office).rotateKeys},
		{"backup", "FILE", "write all accounts to a new file, also while servers run", none, (*office).backup},
		{"restore", "FILE", "read them into an empty database of any kind", func(f *adminFlags, fs *flag.FlagSet) {
			fs.BoolVar(&f.otherSecret, "other-secret", false, "although this service has another secret: second factors and recovery codes will not work")
		}, (*office).restore},
		{"move", "", "copy everything to another, empty database; stop the servers before", func(f *adminFlags, fs *flag.FlagSet) {
			fs.StringVar(&f.to, "to", "", "`URL` of the other database: sqlite:FILE, postgres://…, mysql://…")
			fs.StringVar(&f.toPasswordFile, "to-password-file", "", "`file` with the password for it, instead of one in the URL")
		}, (*office).move},
	}
}

// adminUsage is the help of rondo admin.
func adminUsage() string {
	var b strings.Builder
	b.WriteString("Accounts from the command line.\n\n")
	for _, c := range adminCommands() {
		fmt.Fprintf(&b, "  rondo admin %-18s %s\n", strings.TrimSpace(c.name+" "+c.operand), c.does)
	}
	b.WriteString(`
USER is an e-mail address, a username or an identity. The settings are those of the
server, by flag, environment or file: config, data, secret-file, database,
database-password-file. rondo admin COMMAND --help lists a command's own flags.
`)
	return b.String()
}

// office is what a command works with.
type office struct {
	adminFlags
	cfg     *config
	operand string
	in      *os.File // a terminal, or where a password comes from
	out     io.Writer
	errs    io.Writer // progress, prompts, advice
	log     *slog.Logger
	closers []func()
}

// admin runs a command on the accounts.
func admin(ctx context.Context, args, env []string, stdin *os.File, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: admin: a command is missing\n\n%s", errUsage, adminUsage())
	}
	if slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		fmt.Fprint(stdout, adminUsage())
		return nil
	}
	commands := adminCommands()
	i := slices.IndexFunc(commands, func(c adminCommand) bool { return c.name == args[0] })
	if i < 0 {
		return fmt.Errorf("%w: admin: unknown command %q\n\n%s", errUsage, args[0], adminUsage())
	}
	o := &office{in: stdin, out: stdout, errs: stderr}
	defer func() {
		for _, f := range slices.Backward(o.closers) {
			f()
		}
	}()
	if err := o.parse(commands[i], args[1:], env); err != nil {
		return err
	}
	o.log = newLogger(stderr, o.cfg.LogFormat, slog.LevelWarn)
	if err := commands[i].run(o, ctx); err != nil {
		return fmt.Errorf("admin %s: %w", commands[i].name, plain(ctx, err))
	}
	return nil
}

// plain is an error for a person at a terminal.
func plain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted; nothing was changed")
	}
	e, ok := errors.AsType[*protocol.Error](err)
	if !ok {
		return err
	}
	switch e.Code {
	case protocol.CodeBadRequest, protocol.CodeForbidden, protocol.CodeNotFound, protocol.CodeTaken, protocol.CodeAlready:
		return errors.New(e.Msg)
	}
	return err
}

// parse reads the command's flags and operand, which may come in any order, and the settings.
func (o *office) parse(c adminCommand, args, env []string) error {
	o.cfg = &config{}
	settings := o.cfg.flags(io.Discard)
	own := flag.NewFlagSet("rondo admin "+c.name, flag.ContinueOnError)
	c.flags(&o.adminFlags, own)
	both := flag.NewFlagSet(own.Name(), flag.ContinueOnError)
	both.SetOutput(o.out)
	for _, fs := range []*flag.FlagSet{settings, own} {
		fs.VisitAll(func(f *flag.Flag) { both.Var(f.Value, f.Name, f.Usage) })
	}
	both.Usage = func() {
		fmt.Fprintf(o.out, "rondo admin %s [flags]: %s.\n", strings.TrimSpace(c.name+" "+c.operand), c.does)
		own.SetOutput(o.out)
		own.PrintDefaults()
		fmt.Fprintln(o.out, "All settings of the server are flags here too: rondo --help.")
	}
	operands, err := parseMixed(both, args)
	if err != nil {
		return err
	}
	switch {
	case c.operand == "" && len(operands) > 0:
		return fmt.Errorf("%w: admin %s: unexpected argument %q", errUsage, c.name, operands[0])
	case c.operand != "" && len(operands) != 1:
		return fmt.Errorf("%w: admin %s: one %s is needed", errUsage, c.name, c.operand)
	case c.operand != "":
		o.operand = operands[0]
	}
	given := map[string]bool{}
	both.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if err := applyEnv(settings, env, given); err != nil {
		return err
	}
	if err := o.cfg.applyFile(settings, given); err != nil {
		return err
	}
	if err := o.cfg.validate(); err != nil {
		return err
	}
	if !o.cfg.Accounts || o.cfg.Redis != "" && o.cfg.Database == "" {
		return fmt.Errorf("%w: with these settings the server has no accounts: see accounts and database", errUsage)
	}
	return nil
}

// parseMixed parses flags before, between and after operands.
func parseMixed(fs *flag.FlagSet, args []string) (operands []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, errHelp
			}
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		if fs.NArg() == 0 {
			return operands, nil
		}
		operands, args = append(operands, fs.Arg(0)), fs.Args()[1:]
	}
}

// copyTimeout bounds a command that reads the whole database.
const copyTimeout = 24 * time.Hour

// open opens the service's database; an SQLite file must be there unless it may be made.
func (o *office) open(ctx context.Context, make bool, timeout time.Duration) (*sqlstore.Store, error) {
	if path, ok := sqliteFile(o.cfg.databaseURL()); ok && !make {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%w: there is no database yet: %w", errUsage, err)
		}
	}
	if make && o.cfg.Database == "" {
		if err := os.MkdirAll(o.cfg.DataDir, 0o700); err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
	}
	return o.openURL(ctx, "database-password-file", o.cfg.DatabasePasswordFile, o.cfg.databaseURL(), timeout)
}

func (o *office) openURL(ctx context.Context, setting, passwordFile, url string, timeout time.Duration) (*sqlstore.Store, error) {
	secret, err := readSecret(setting, passwordFile)
	if err != nil {
		return nil, err
	}
	db, err := database.Open(ctx, database.Config{URL: url, Password: secret, Timeout: timeout, SlowQuery: -1, Logger: o.log})
	if err != nil {
		return nil, err
	}
	o.closers = append(o.closers, func() { _ = db.Close() })
	return sqlstore.New(db).With(chatsql.Migrations()), nil
}

// sqliteFile returns the file that a URL names, if it names one.
func sqliteFile(url string) (string, bool) {
	path, ok := strings.CutPrefix(url, "sqlite:")
	return strings.TrimPrefix(path, "//"), ok
}

// signer reads the service's secret, which only the first command of a service makes.
func (o *office) signer(make bool) (*auth.Signer, error) {
	if _, err := os.Stat(o.cfg.secretPath()); err != nil && !make {
		return nil, fmt.Errorf("%w: secret-file: %w", errUsage, err)
	}
	secret, _, err := auth.LoadOrCreateSecret(o.cfg.secretPath())
	if err != nil {
		return nil, fmt.Errorf("secret-file: %w", err)
	}
	return auth.NewSigner(secret)
}

// accounts opens the accounts, whose tables are brought up to date as a server would.
func (o *office) accounts(ctx context.Context, make bool) (*accounts.Accounts, error) {
	store, err := o.open(ctx, make, 0)
	if err != nil {
		return nil, err
	}
	signer, err := o.signer(make)
	if err != nil {
		return nil, err
	}
	if err := store.Migrate(ctx); err != nil {
		return nil, err
	}
	hasher, err := password.New(password.Config{})
	if err != nil {
		return nil, err
	}
	sealer, err := mail.NewSealer(signer.Key("mail"))
	if err != nil {
		return nil, err
	}
	return accounts.New(accounts.Config{
		Store: store, Passwords: hasher, Acceptable: password.Acceptable, Mail: sealer, Key: signer.Key("accounts"), Logger: o.log,
		Issue: func(accounts.User, string) (string, time.Time, error) {
			return "", time.Time{}, errors.New("nobody logs in at the command line")
		},
	})
}

// rotateKeys makes a key; nodes that run read it from the database.
func (o *office) rotateKeys(ctx context.Context) error {
	store, err := o.open(ctx, false, 0)
	if err != nil {
		return err
	}
	signer, err := o.signer(false)
	if err != nil {
		return err
	}
	if err := store.Migrate(ctx); err != nil {
		return err
	}
	ring, err := auth.NewKeyring(auth.KeyringConfig{Store: store, Wrap: signer.Key("jwt keys"), Logger: o.log})
	if err != nil {
		return err
	}
	if err := ring.Rotate(ctx); err != nil {
		return err
	}
	keys, err := store.Keys(ctx)
	if err != nil {
		return err
	}
	newest := slices.MaxFunc(keys, func(a, b auth.StoredKey) int { return cmp.Compare(a.Generation, b.Generation) })
	fmt.Fprintf(o.out, "made key %s, which signs from %s on; tokens of the key before stay good until they expire\n",
		newest.Kid, newest.Begins.Local().Format(time.TimeOnly))
	return nil
}

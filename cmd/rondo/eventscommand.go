package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rondo-chat/rondo/auth"
	chatsql "github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/internal/database"
)

const eventsUsage = `Events for other systems from the command line.

  rondo events list          the sinks: how far each is, and what holds it up
  rondo events letters SINK  the events that a sink refused for good
  rondo events replay SINK   hand these over once more; those that it takes are forgotten
  rondo events secret SINK   print the secret that its events are signed with

The settings are those of the server, by flag, environment or file: config, data, secret-file,
database, database-password-file, events-file.
`

// post is what a command on events works with.
type post struct {
	cfg    *config
	out    io.Writer
	sinks  []sinkConfig
	signer *auth.Signer
	box    *outbox
}

// eventsCommand is rondo events.
func eventsCommand(ctx context.Context, args, env []string, stdout, stderr io.Writer) error {
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		fmt.Fprint(stdout, eventsUsage)
		return nil
	}
	command, args, name := args[0], args[1:], ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	run, known := map[string]func(*post, context.Context, *sinkConfig) error{
		"letters": (*post).letters, "replay": (*post).replay, "secret": (*post).secret,
	}[command]
	if !known && command != "list" {
		return fmt.Errorf("%w: events: unknown command %q\n\n%s", errUsage, command, eventsUsage)
	}
	p := &post{out: stdout}
	closeDB, err := p.open(ctx, args, env, stderr)
	if err != nil {
		return err
	}
	defer closeDB()
	if command == "list" {
		return p.list(ctx)
	}
	i := slices.IndexFunc(p.sinks, func(c sinkConfig) bool { return c.Name == name })
	if i < 0 {
		return fmt.Errorf("%w: events %s: there is no sink %q in events-file", errUsage, command, name)
	}
	if err := run(p, ctx, &p.sinks[i]); err != nil {
		return fmt.Errorf("events %s: %w", command, err)
	}
	return nil
}

func (p *post) open(ctx context.Context, args, env []string, stderr io.Writer) (func(), error) {
	var err error
	if p.cfg, err = loadConfig(args, env, p.out); err != nil {
		return nil, err
	}
	if p.sinks, err = readSinks(p.cfg.EventsFile); err != nil {
		return nil, err
	}
	if _, err := os.Stat(p.cfg.secretPath()); err != nil {
		return nil, fmt.Errorf("%w: secret-file: %w", errUsage, err)
	}
	secret, _, err := auth.LoadOrCreateSecret(p.cfg.secretPath())
	if err != nil {
		return nil, fmt.Errorf("secret-file: %w", err)
	}
	if p.signer, err = auth.NewSigner(secret); err != nil {
		return nil, err
	}
	password, err := readSecret("database-password-file", p.cfg.DatabasePasswordFile)
	if err != nil {
		return nil, err
	}
	if path, ok := sqliteFile(p.cfg.databaseURL()); ok {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%w: there is no database yet: %w", errUsage, err)
		}
	}
	log := newLogger(stderr, p.cfg.LogFormat, slog.LevelWarn)
	db, err := database.Open(ctx, database.Config{URL: p.cfg.databaseURL(), Password: password, SlowQuery: -1, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	store := chatsql.New(db)
	if err := store.Migrate(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("database: %w", err)
	}
	p.box = &outbox{store: store}
	return func() { _ = db.Close() }, nil
}

func (p *post) list(ctx context.Context) error {
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SINK\tKIND\tPOSITION\tFAILED TRIES\tLAST FAILURE")
	for _, c := range p.sinks {
		cursor, err := p.box.Cursor(ctx, c.Name)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", c.Name, c.Kind, cursor.Pos, cursor.Tries, cursor.Error)
	}
	return w.Flush()
}

// maxListed is how many dead letters are shown.
const maxListed = 1000

func (p *post) letters(ctx context.Context, c *sinkConfig) error {
	list, err := p.box.Letters(ctx, c.Name, maxListed)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "EVENT\tPOSITION\tHAPPENED\tREFUSED\tREASON")
	for _, l := range list {
		fmt.Fprintf(w, "%s:%d\t%d\t%s\t%s\t%s\n", l.Row.Room, l.Row.Seq, l.Row.Pos, stamp(l.Row.At), stamp(l.At), l.Reason)
	}
	return w.Flush()
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

func (p *post) replay(ctx context.Context, c *sinkConfig) error {
	sub, err := c.subscription(p.signer)
	if err != nil {
		return err
	}
	defer sub.Sink.Close()
	n, err := events.Replay(ctx, p.box, sub)
	fmt.Fprintf(p.out, "%d taken\n", n)
	return err
}

func (p *post) secret(_ context.Context, c *sinkConfig) error {
	secrets, err := c.secrets(p.signer)
	if err != nil {
		return err
	}
	fmt.Fprintln(p.out, events.FormatSecret(secrets[0]))
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rondo-chat/rondo/client/bench/reference"
	"github.com/rondo-chat/rondo/client/bench/table"
)

// sideBySide is the command table.
func sideBySide(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("rondo-bench table", flag.ContinueOnError)
	fs.SetOutput(stderr)
	cfg := table.Config{Progress: stderr, Env: environment()}
	fs.StringVar(&cfg.Rondo, "rondo", "", "`path` of the server (default: built with go build, from the folder of the sources)")
	fs.StringVar(&cfg.Redis, "redis-server", found("redis-server"), "`path` of redis-server; empty: without its lines")
	fs.StringVar(&cfg.Coturn, "turnserver", found("turnserver"), "`path` of coturn's turnserver; empty: without its lines")
	fs.IntVar(&cfg.Rounds, "rounds", 0, "rounds of each line (default 5, quick 2)")
	fs.BoolVar(&cfg.Quick, "quick", false, "a tenth of the load in a minute: whether all works, not what it costs")
	only := fs.String("only", "", "comma-separated `groups`: "+strings.Join(table.Groups(), ", ")+" (default: all)")
	asJSON := fs.Bool("json", false, "print JSON instead of a table")
	quiet := fs.Bool("quiet", false, "no progress")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if *only != "" {
		cfg.Only = strings.Split(*only, ",")
	}
	if *quiet {
		cfg.Progress = nil
	}
	var err error
	if cfg.Self, err = os.Executable(); err != nil {
		return err
	}
	if cfg.Rondo == "" {
		dir, err := os.MkdirTemp("", "rondo-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		cfg.Rondo = filepath.Join(dir, "rondo")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", cfg.Rondo, "github.com/rondo-chat/rondo/cmd/rondo").CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w: %s", err, out)
		}
	}
	rows, err := table.Run(ctx, cfg)
	if *asJSON {
		out := json.NewEncoder(stdout)
		out.SetIndent("", "  ")
		return errors.Join(err, out.Encode(rows))
	}
	table.Markdown(stdout, rows)
	return err
}

// found is where a program is, "" if it is nowhere.
func found(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return path
}

// environment is this one without what would configure a server.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "RONDO_") {
			env = append(env, kv)
		}
	}
	return env
}

// serveReference serves until ctx ends. Its address is what it prints.
func serveReference(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("rondo-bench reference", flag.ContinueOnError)
	fs.SetOutput(stderr)
	kind := fs.String("kind", "", "which")
	secure := fs.Bool("tls", false, "with TLS")
	if err := fs.Parse(args); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintln(stdout, l.Addr())
	if *secure {
		if l, err = reference.TLS(l); err != nil {
			return err
		}
	}
	return reference.Serve(ctx, *kind, l)
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/rondo-chat/rondo/auth"
)

// parse parses a subcommand's flags; it returns errHelp after printing help.
func parse(fs *flag.FlagSet, args []string, out io.Writer) error {
	fs.SetOutput(out)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return errHelp
		}
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("%w: unexpected argument %q", errUsage, fs.Arg(0))
	}
	return nil
}

// makeSecret makes the file that all nodes of one service share.
func makeSecret(args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("rondo secret", flag.ContinueOnError)
	file := fs.String("file", "", "`file` to make, readable by its owner only; kept if it is there")
	if err := parse(fs, args, stdout); err != nil {
		return err
	}
	if *file == "" {
		return fmt.Errorf("%w: secret: --file is missing", errUsage)
	}
	_, created, err := auth.LoadOrCreateSecret(*file)
	switch {
	case err != nil:
		return fmt.Errorf("secret: %w", err)
	case created:
		fmt.Fprintln(stdout, "made", *file)
	default:
		fmt.Fprintln(stdout, "kept", *file)
	}
	return nil
}

// health asks a server of this machine whether it is ready; for container
// health checks, which have no other program to ask with.
func health(ctx context.Context, args, env []string, stdout io.Writer) error {
	cfg, err := loadConfig(args, env, stdout)
	if err != nil {
		return err
	}
	url, err := localMetrics(cfg, "/readyz")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("health: %s: %s", resp.Status, body)
	}
	fmt.Fprintln(stdout, "ready")
	return nil
}

// localMetrics is the URL of a path on the metrics listener of a server that
// runs on this machine with the same settings.
func localMetrics(cfg *config, path string) (string, error) {
	if cfg.MetricsListen == "" {
		return "", fmt.Errorf("%w: metrics-listen is empty", errUsage)
	}
	host, port, err := net.SplitHostPort(cfg.MetricsListen)
	if err != nil {
		return "", fmt.Errorf("%w: metrics-listen: %w", errUsage, err)
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + path, nil
}

// Command rondo is the whole Rondo server: signaling, matchmaking, rooms, chat,
// STUN/TURN, metrics and the web page in one process.
//
// Only this package reads flags, the environment and configuration files, opens
// listeners and connects to Redis.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

const usage = `Rondo lets people meet in a browser call.

  rondo [flags]            run the server (rondo --help lists the flags)
  rondo doctor [flags]     check that calls can work: each way to a running server
  rondo health [flags]     exit 0 if the server answers that it is ready
  rondo drain [flags]      send the clients of the server here elsewhere and stop it
  rondo admin COMMAND      accounts: the first administrator, list, disable, backup, move
                           to another database (rondo admin --help)
  rondo events COMMAND     events for other systems: how far, dead letters, replay
                           (rondo events --help)
  rondo secret --file F    make the secret that several nodes share, if F is not there yet
  rondo version            print the version
`

// errUsage marks errors of the command line or the configuration; they exit
// with status 2.
var errUsage = errors.New("usage")

// run is the program: it parses args, does what they say until ctx ends, and
// returns the exit status.
func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) int {
	command := "serve"
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		command, args = args[0], args[1:]
	}
	var err error
	switch command {
	case "serve":
		err = serve(ctx, args, env, stdout, stderr)
	case "doctor":
		err = doctor(ctx, args, stdout)
	case "health":
		err = health(ctx, args, env, stdout)
	case "drain":
		err = drain(ctx, args, env, stdout)
	case "admin":
		err = admin(ctx, args, env, os.Stdin, stdout, stderr)
	case "events":
		err = eventsCommand(ctx, args, env, stdout, stderr)
	case "secret":
		err = makeSecret(args, stdout)
	case "version":
		fmt.Fprintln(stdout, "rondo", version())
	case "help":
		fmt.Fprint(stdout, usage)
	default:
		err = fmt.Errorf("%w: unknown command %q\n\n%s", errUsage, command, usage)
	}
	return status(err, stderr)
}

// status prints the error, if it is one, and returns the exit status.
func status(err error, stderr io.Writer) int {
	switch {
	case err == nil, errors.Is(err, errHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "rondo:", err)
		return 2
	default:
		fmt.Fprintln(stderr, "rondo:", err)
		return 1
	}
}

// version is the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "0.1.0-dev+" + s.Value[:12]
		}
	}
	return "0.1.0-dev"
}

// Rondo-bench loads a running Rondo server and says how long things took and what
// they cost it. `rondo-bench table` starts servers of its own and measures them beside what they are compared with.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/rondo-chat/rondo/client/bench"
	"github.com/rondo-chat/rondo/protocol"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "rondo-bench:", err)
		os.Exit(1)
	}
}

// run does what the arguments say: a table or JSON goes to stdout, progress to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "table":
			return sideBySide(ctx, args[1:], stdout, stderr)
		case "reference": // not for people: table starts it
			return serveReference(ctx, args[1:], stdout, stderr)
		}
	}
	return load(ctx, args, stdout, stderr)
}

// load runs a scenario against a running server.
func load(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("rondo-bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	cfg := bench.Config{Progress: stderr}
	fs.StringVar(&cfg.URL, "url", "ws://127.0.0.1:8080/ws", "`URL` of the server's WebSocket")
	fs.StringVar(&cfg.Scenario, "scenario", "ask", "what to do: "+names())
	fs.IntVar(&cfg.Users, "users", 100, "how many users connect")
	fs.Float64Var(&cfg.Rate, "rate", 200, "operations a second, of all users together")
	fs.Float64Var(&cfg.Connect, "connect", 0, "connections opened a second (default: rate)")
	fs.DurationVar(&cfg.Duration, "duration", 10*time.Second, "how long")
	day := fs.Duration("day", 0, "how long the day of scenario day takes, instead of duration")
	fs.Uint64Var(&cfg.Seed, "seed", 1, "what poisson and day draw from")
	fs.IntVar(&cfg.Bytes, "bytes", 500, "size of a signal or message")
	room := fs.String("room", "", "`id` of the topic for fanout, which guests may write in")
	fs.IntVar(&cfg.PID, "pid", 0, "the server's process `id`, if it runs on this machine: its CPU and memory are measured")
	fs.StringVar(&cfg.Metrics, "metrics", "", "`URL` of the server's metrics, e.g. http://127.0.0.1:9464/metrics: its allocations are counted")
	fs.BoolVar(&cfg.Spread, "spread", false, "come from many addresses of 127.0.0.0/8, for a server on this machine")
	fs.BoolVar(&cfg.Loopback, "loopback", false, "calls may use the loopback interface")
	asJSON := fs.Bool("json", false, "print JSON instead of a table")
	quiet := fs.Bool("quiet", false, "no progress")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	cfg.Duration = cmp.Or(*day, cfg.Duration)
	cfg.Room = protocol.RoomID(*room)
	if *quiet {
		cfg.Progress = nil
	}
	report, err := bench.Run(ctx, cfg)
	if report.Scenario != "" {
		if *asJSON {
			out := json.NewEncoder(stdout)
			out.SetIndent("", "  ")
			err = errors.Join(err, out.Encode(report))
		} else {
			show(stdout, report)
		}
	}
	return err
}

func names() string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(bench.Scenarios())) {
		text += "\n" + name + ": " + bench.Scenarios()[name]
	}
	return text
}

// show prints what a person reads.
func show(w io.Writer, r bench.Report) {
	fmt.Fprintf(w, "%s: %d users, %.1f s\n\n", r.Scenario, r.Users, r.Seconds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tcount\tp50\tp90\tp99\tp99.9\tmax\t")
	for _, name := range slices.Sorted(maps.Keys(r.Times)) {
		q := r.Times[name]
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t\n", name, q.Count, ms(q.P50), ms(q.P90), ms(q.P99), ms(q.P999), ms(q.Max))
	}
	t.Flush()
	fmt.Fprintln(w)
	for _, name := range slices.Sorted(maps.Keys(r.Counts)) {
		fmt.Fprintf(w, "%8d %s\n", r.Counts[name], name)
	}
	for _, why := range slices.Sorted(maps.Keys(r.Failures)) {
		fmt.Fprintf(w, "%8d failed: %s\n", r.Failures[why], why)
	}
	if s := r.Server; s != nil {
		fmt.Fprintf(w, "\nserver: %.1f %% of a core, %.1f MiB", 100*s.CPU, float64(s.RSS)/(1<<20))
		if s.PerUser > 0 {
			fmt.Fprintf(w, ", %.1f KiB a user", float64(s.PerUser)/(1<<10))
		}
		fmt.Fprintln(w)
		if s.CPUPerOp > 0 {
			fmt.Fprintf(w, "        %.1f µs CPU and %.1f allocations for each of the %s\n", s.CPUPerOp, s.Allocs, cmp.Or(s.Operation, "operations"))
		}
	}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

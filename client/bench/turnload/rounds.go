package turnload

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Report is what scenarios cost two servers, side by side.
type Report struct {
	Ours, Reference string
	Lines           []Line
}

// Line is one scenario: the results of all rounds.
type Line struct {
	Scenario        Scenario
	Ours, Reference []Result
}

// Compare runs every scenario so many rounds on both fields, alternately.
func Compare(ctx context.Context, ours, reference *Field, scenarios []Scenario, rounds int) (*Report, error) {
	rep := &Report{Ours: ours.server.Name, Reference: reference.server.Name, Lines: make([]Line, len(scenarios))}
	for round := range rounds {
		for _, f := range []*Field{ours, reference} { // channels last ten minutes, permissions five
			if err := f.bind(); err != nil {
				return nil, fmt.Errorf("turnload: %s: %w", f.server.Name, err)
			}
		}
		for i, s := range scenarios {
			l := &rep.Lines[i]
			l.Scenario = s
			both := []struct {
				f  *Field
				to *[]Result
			}{{ours, &l.Ours}, {reference, &l.Reference}}
			if round%2 == 1 {
				slices.Reverse(both)
			}
			for _, b := range both {
				r, err := b.f.Run(ctx, s)
				if err != nil {
					return nil, err
				}
				*b.to = append(*b.to, r)
			}
		}
	}
	return rep, nil
}

// Ratio is the median over the rounds of our CPU time for a packet to the
// reference's, with the least and the greatest.
func (l Line) Ratio() (median, low, high float64) {
	return l.spread(func(ours, ref Result) float64 { return ours.PerMillion() / ref.PerMillion() })
}

func (l Line) spread(of func(ours, ref Result) float64) (median, low, high float64) {
	var all []float64
	for i := range l.Ours {
		all = append(all, of(l.Ours[i], l.Reference[i]))
	}
	slices.Sort(all)
	if len(all) == 0 {
		return 0, 0, 0
	}
	return all[len(all)/2], all[0], all[len(all)-1]
}

// Loss is the share of all packets of a server that did not come.
func Loss(results []Result) float64 {
	var sum Result
	for _, r := range results {
		sum.Sent += r.Sent
		sum.Received += r.Received
	}
	return sum.Loss()
}

func median(results []Result, of func(Result) float64) float64 {
	var all []float64
	for _, r := range results {
		all = append(all, of(r))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// Write writes the table.
func (r *Report) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "CPU s per million packets\t%s\t%s\tratio\tlost\tp50, µs\tratio\tp99, µs\tratio\n", r.Reference, r.Ours)
	for _, l := range r.Lines {
		ratio, low, high := l.Ratio()
		p50, _, _ := l.spread(func(o, f Result) float64 { return float64(o.P50) / float64(f.P50) })
		p99, _, _ := l.spread(func(o, f Result) float64 { return float64(o.P99) / float64(f.P99) })
		fmt.Fprintf(t, "%v\t%.1f\t%.1f\t%.2f [%.2f-%.2f]\t%.3f%% / %.3f%%\t%.0f / %.0f\t%.2f\t%.0f / %.0f\t%.2f\n", l.Scenario,
			median(l.Reference, Result.PerMillion), median(l.Ours, Result.PerMillion), ratio, low, high,
			100*Loss(l.Reference), 100*Loss(l.Ours),
			median(l.Reference, microsP50), median(l.Ours, microsP50), p50,
			median(l.Reference, microsP99), median(l.Ours, microsP99), p99)
	}
	return t.Flush()
}

func microsP50(r Result) float64 { return float64(r.P50.Microseconds()) }
func microsP99(r Result) float64 { return float64(r.P99.Microseconds()) }

// String is the table.
func (r *Report) String() string {
	var b strings.Builder
	_ = r.Write(&b) // a Builder takes everything
	return b.String()
}

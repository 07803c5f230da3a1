package table

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// Config of a run.
type Config struct {
	Self   string   // path of a program that serves package reference when called with "reference --kind K --tls=B"
	Rondo  string   // path of the server
	Redis  string   // path of redis-server; "": its lines are not measured
	Coturn string   // path of turnserver; "": its lines are not measured
	Env    []string // of the processes

	Rounds   int       // of each line; 5, Quick: 2
	Quick    bool      // a tenth of the load: whether all works, not what it costs
	Only     []string  // groups; nil: all
	Progress io.Writer // a line for each round; nil: none
}

// Row is a line of the table with what was measured.
type Row struct {
	Line
	Ours      Spread `json:"ours"`
	Reference Spread `json:"reference,omitzero"`
	Ratio     Spread `json:"ratio,omitzero"`    // ours to the reference, of the same round
	Missing   string `json:"missing,omitempty"` // why it was not measured
}

// Spread is the median of the rounds, the smallest and the largest.
type Spread struct {
	Rounds           int
	Median, Min, Max float64
}

// Known reports whether it was measured.
func (s Spread) Known() bool { return s.Rounds > 0 }

func spread(all []float64) Spread {
	if len(all) == 0 {
		return Spread{}
	}
	all = slices.Sorted(slices.Values(all))
	mid := (all[(len(all)-1)/2] + all[len(all)/2]) / 2
	return Spread{len(all), mid, all[0], all[len(all)-1]}
}

// Judged is what the goals of the line are about.
func (r Row) Judged() float64 {
	if r.By == Ratio {
		return r.Ratio.Median
	}
	return r.Ours.Median
}

// Verdict is "holds", "holds, then too" (the further goal is reached), "misses", or "" where there is no goal.
func (r Row) Verdict() string {
	if r.Missing != "" || r.Must == 0 {
		return ""
	}
	reached := func(goal float64) bool {
		if r.AtLeast {
			return r.Judged() >= goal
		}
		return r.Judged() <= goal
	}
	switch {
	case !reached(r.Must):
		return "misses"
	case r.Then != 0 && reached(r.Then):
		return "holds, then too"
	}
	return "holds"
}

// Run measures all lines. Rows of groups that failed say so, and the errors are returned beside them.
func Run(ctx context.Context, cfg Config) ([]Row, error) {
	if cfg.Rounds == 0 {
		cfg.Rounds = 5
		if cfg.Quick {
			cfg.Rounds = 2
		}
	}
	if cfg.Progress == nil {
		cfg.Progress = io.Discard
	}
	for _, name := range cfg.Only {
		if !slices.ContainsFunc(groups(), func(k kind) bool { return k.name == name }) {
			return nil, fmt.Errorf("table: no group %q; there are %s", name, strings.Join(Groups(), ", "))
		}
	}
	var rows []Row
	var failed []error
	for _, k := range groups() {
		if len(cfg.Only) > 0 && !slices.Contains(cfg.Only, k.name) {
			continue
		}
		g := &group{cfg: cfg, name: k.name, sums: &sums{}, missing: map[string]string{}}
		began := time.Now()
		err := k.run(g, ctx)
		g.end()
		fmt.Fprintf(cfg.Progress, "%s: %.0f s\n", k.name, time.Since(began).Seconds())
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", k.name, err))
		}
		rows = append(rows, g.rows(err)...)
		if ctx.Err() != nil {
			break
		}
	}
	return rows, errors.Join(failed...)
}

// group measures some lines, which share processes.
type group struct {
	cfg     Config
	name    string
	ends    []func()
	sums    *sums
	missing map[string]string // why lines are not measured
}

// sums are what the rounds measured, by the name of the line.
type sums struct {
	ours, refs map[string][]float64
	warm       bool // what is added does not count yet
}

// kind is a group and how it is measured.
type kind struct {
	name string
	run  func(*group, context.Context) error
}

func groups() []kind {
	return []kind{
		{"match", (*group).match}, {"idle", (*group).idle}, {"relay", (*group).relay}, {"fanout", (*group).fanout},
		{"latency", (*group).latency}, {"nodes", (*group).nodes}, {"turn", (*group).turn}, {"call", (*group).call}, {"growth", (*group).growth},
	}
}

// Groups are the names for Config.Only.
func Groups() []string {
	var names []string
	for _, k := range groups() {
		names = append(names, k.name)
	}
	return names
}

// rounds calls f for each round, and, unless it is quick, once before: what is warmed up then does not count.
func (g *group) rounds(ctx context.Context, f func(round int) error) error {
	first := 0
	if g.cfg.Quick {
		first = 1
	}
	for i := first; i <= g.cfg.Rounds; i++ {
		g.sums.warm = i > 0
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(i); err != nil {
			return err
		}
		fmt.Fprintf(g.cfg.Progress, "%s: round %d of %d\n", g.name, i, g.cfg.Rounds)
	}
	return nil
}

// add takes what a round measured of a line; ref 0: there is no reference.
func (g *group) add(name string, ours, ref float64) {
	if !g.sums.warm {
		return
	}
	if g.sums.ours == nil {
		g.sums.ours, g.sums.refs = map[string][]float64{}, map[string][]float64{}
	}
	g.sums.ours[name] = append(g.sums.ours[name], ours)
	if len(g.sums.refs[name]) > 0 || ref != 0 {
		g.sums.refs[name] = append(g.sums.refs[name], ref)
	}
}

// lacks says why lines whose names begin with prefix are not measured.
func (g *group) lacks(prefix, why string) {
	for _, l := range Lines() {
		if l.Group == g.name && strings.HasPrefix(l.Name, prefix) {
			g.missing[l.Name] = why
		}
	}
}

func (g *group) end() {
	for _, f := range slices.Backward(g.ends) {
		f()
	}
	g.ends = nil
}

// size is n, or what a quick run does instead.
func (g *group) size(n, quick int) int {
	if g.cfg.Quick {
		return quick
	}
	return n
}

func (g *group) rows(err error) []Row {
	var rows []Row
	for _, l := range Lines() {
		if l.Group != g.name {
			continue
		}
		r := Row{Line: l, Ours: spread(g.sums.ours[l.Name]), Missing: g.missing[l.Name]}
		if refs := g.sums.refs[l.Name]; len(refs) > 0 && len(refs) == len(g.sums.ours[l.Name]) {
			r.Reference = spread(refs)
			var ratios []float64
			for i, ours := range g.sums.ours[l.Name] {
				if refs[i] != 0 {
					ratios = append(ratios, ours/refs[i])
				}
			}
			r.Ratio = spread(ratios)
		}
		if !r.Ours.Known() && r.Missing == "" {
			r.Missing = "not measured"
			if err != nil {
				r.Missing, _, _ = strings.Cut(err.Error(), "\n")
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// Markdown writes the table.
func Markdown(w io.Writer, rows []Row) {
	fmt.Fprintln(w, "| line | anchor | must / then | Rondo | reference | ratio | |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|")
	for _, r := range rows {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s |\n", r.Name+" ("+r.Unit+")", cmp.Or(r.Anchor, "–"), r.goal(),
			cmp.Or(r.Missing, r.Ours.String()), r.Reference, bold(r.By == Ratio, r.Ratio), cmp.Or(r.Verdict(), "–"))
	}
}

func bold(yes bool, s Spread) string {
	if text := s.String(); yes && s.Known() {
		median, rest, _ := strings.Cut(text, " ")
		return "**" + median + "** " + rest
	}
	return s.String()
}

// goal is what is to be reached.
func (r Row) goal() string {
	if r.Must == 0 {
		return "–"
	}
	sign, of := "≤", ""
	if r.AtLeast {
		sign = "≥"
	}
	if r.By == Ratio {
		of = "x "
	}
	text := fmt.Sprintf("%s %s%s", sign, number(r.Must), strings.TrimSpace(of))
	if r.Then != 0 {
		text += fmt.Sprintf(" / %s%s", number(r.Then), strings.TrimSpace(of))
	}
	return text
}

// String is "median [smallest–largest]".
func (s Spread) String() string {
	if !s.Known() {
		return "–"
	}
	return fmt.Sprintf("%s [%s–%s]", number(s.Median), number(s.Min), number(s.Max))
}

// number has three digits that count.
func number(v float64) string {
	switch abs := math.Abs(v); {
	case abs >= 100:
		return fmt.Sprintf("%.0f", v)
	case abs >= 10:
		return fmt.Sprintf("%.1f", v)
	case abs >= 1 || v == 0:
		return strings.TrimSuffix(fmt.Sprintf("%.2f", v), ".00")
	}
	return fmt.Sprintf("%.3g", v)
}

// Package redisqueue keeps the matchmaking queue, and who must not meet whom,
// in Redis: one server, Sentinel or Cluster.
//
// Each step of the queue, or some that come at once, is one script (the .lua files; lib.lua describes the
// keys). All keys of a pool have one hash tag, so that each script touches one
// slot, and all are named in KEYS. Scripts are idempotent: a call that was sent
// twice, because its answer was lost, has one effect. Time is the Redis
// server's. No step's cost grows with how many wait, but by the logarithm.
//
// The client should have ContextTimeoutEnabled, so that deadlines hold while
// Redis hangs.
package redisqueue

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/internal/rediscall"
	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/protocol"
)

//go:embed lib.lua
var libLua string

//go:embed step.lua
var stepLua string

//go:embed enter.lua
var enterLua string

//go:embed ack.lua
var ackLua string

//go:embed nack.lua
var nackLua string

//go:embed leave.lua
var leaveLua string

//go:embed missing.lua
var missingLua string

//go:embed renew.lua
var renewLua string

//go:embed sweep.lua
var sweepLua string

//go:embed stats.lua
var statsLua string

// keyTTL is how long a pool's keys outlive the last node.
const keyTTL = 24 * time.Hour

// maxBatch bounds lists that a script unpacks.
const maxBatch = 1000

// Config configures a Queue and Relations.
type Config struct{ rediscall.Config }

// Queue is a matchmaking.Queue.
type Queue struct {
	cfg                                       Config
	nack, leave, missing, renew, sweep, stats *redis.Script
	steps                                     steps // Enter and Ack
}

var _ matchmaking.Queue = (*Queue)(nil)

// New makes a Queue. It does not connect.
func New(cfg Config) (*Queue, error) {
	if err := cfg.Validate("matchmaking/redisqueue"); err != nil {
		return nil, err
	}
	script := func(text string) *redis.Script { return redis.NewScript(libLua + text) }
	q := &Queue{
		cfg: cfg, nack: script(nackLua), leave: script(leaveLua),
		missing: script(missingLua), renew: script(renewLua), sweep: script(sweepLua), stats: script(statsLua),
	}
	q.steps = steps{client: cfg.Client, many: script(stepLua), enter: script(enterLua), ack: script(ackLua), pools: map[string]*poolSteps{}, bounds: []any{
		micros(-matchmaking.MaxWait), micros(matchmaking.NodeTTL), micros(matchmaking.RememberMatch), matchmaking.WaitsKept}}
	return q, nil
}

// keys returns the keys of a pool by their names.
func (q *Queue) keys(pool string, names ...string) []string {
	base := q.cfg.Prefix + "match:{" + pool + "}:"
	for i, n := range names {
		names[i] = base + n
	}
	return names
}

// run runs a script. Retries are go-redis's own, within the deadline.
func (q *Queue) run(ctx context.Context, s *redis.Script, keys []string, args ...any) (any, error) {
	ctx, cancel := q.cfg.Deadline(ctx)
	defer cancel()
	v, err := s.Run(ctx, q.cfg.Client, keys, args...).Result()
	return v, rediscall.Error(err)
}

// step makes a call of Enter or Ack, together with others that come at the time.
func (q *Queue) step(ctx context.Context, pool string, args []any) (any, error) {
	ctx, cancel := q.cfg.Deadline(ctx)
	defer cancel()
	return q.steps.do(ctx, pool, q.stepKeys, args)
}

func (q *Queue) stepKeys(pool string) []string {
	return q.keys(pool, "index", "tickets", "matches", "due", "nodes", "waits")
}

// Enter implements matchmaking.Queue.
func (q *Queue) Enter(ctx context.Context, t matchmaking.Ticket, s matchmaking.Search) (matchmaking.Result, error) {
	if err := matchmaking.CheckEnter(t, s); err != nil {
		return matchmaking.Result{}, err
	}
	v, err := q.step(ctx, t.Pool, enterArgs(t, s))
	if err != nil {
		return matchmaking.Result{}, err
	}
	return readEnter(t.Pool, v)
}

// enterArgs are what step.lua takes of Enter.
func enterArgs(t matchmaking.Ticket, s matchmaking.Search) []any {
	since := ""
	if !t.Since.IsZero() {
		since = digits(uint64(max(0, t.Since.UnixMicro())))
	}
	offers := join(t.Offers)
	return []any{"enter", string(t.Session), digits(t.Epoch), since, string(t.User), string(t.Node), string(t.User) + "\n" + string(t.Node) + "\n" + t.Data + "\n" + offers,
		offers, join(s.Seeks), excluded(s.Exclude), string(s.Match), micros(s.Hold), s.Look}
}

// ackArgs are what step.lua takes of Ack.
func ackArgs(c matchmaking.Claim) []any {
	return []any{"ack", string(c.Match), string(c.Session), digits(c.Epoch)}
}

// readEnter reads what step.lua returns to it.
func readEnter(pool string, v any) (r matchmaking.Result, err error) {
	rest := reply{list: asList(v)}
	switch word := rest.text(); word {
	case "LISTED":
		r.Outcome, r.Since, r.Waiting, r.Rejected, r.Strays = matchmaking.Listed, rest.time(), rest.number(), rest.number(), rest.number()
	case "PROPOSED":
		r.Outcome, r.Pair, r.Rejected, r.Strays = matchmaking.Proposed, rest.pair(pool), rest.number(), rest.number()
	case "STALE":
		r.Outcome = matchmaking.Stale
	case "USED":
		r.Outcome = matchmaking.Used
	default:
		rest.bad = true
	}
	return r, rest.err()
}

// Ack implements matchmaking.Queue.
func (q *Queue) Ack(ctx context.Context, c matchmaking.Claim) (matchmaking.Verdict, error) {
	v, err := q.step(ctx, c.Pool, ackArgs(c))
	return readVerdict(v, err)
}

// Nack implements matchmaking.Queue.
func (q *Queue) Nack(ctx context.Context, c matchmaking.Claim) (matchmaking.Verdict, error) {
	v, err := q.run(ctx, q.nack, q.keys(c.Pool, "tickets", "matches", "due"),
		string(c.Match), string(c.Session), digits(c.Epoch), micros(matchmaking.RememberMatch))
	return readVerdict(v, err)
}

func readVerdict(v any, err error) (matchmaking.Verdict, error) {
	if err != nil {
		return 0, err
	}
	switch v {
	case "LIVE":
		return matchmaking.Live, nil
	case "PENDING":
		return matchmaking.Pending, nil
	case "GONE":
		return matchmaking.Gone, nil
	}
	return 0, errReply
}

// Leave implements matchmaking.Queue.
func (q *Queue) Leave(ctx context.Context, pool string, r matchmaking.Ref) (*matchmaking.Pair, error) {
	v, err := q.run(ctx, q.leave, q.keys(pool, "index", "tickets", "matches", "due"),
		string(r.Session), digits(r.Epoch), micros(matchmaking.RememberMatch))
	if err != nil {
		return nil, err
	}
	rest := reply{list: asList(v)}
	if len(rest.list) == 0 {
		return nil, nil
	}
	p := rest.pair(pool)
	return &p, rest.err()
}

// Missing implements matchmaking.Queue.
func (q *Queue) Missing(ctx context.Context, pool string, list []matchmaking.Ref) (missing []int, err error) {
	for from := 0; from < len(list); from += maxBatch {
		part := list[from:min(len(list), from+maxBatch)]
		args := make([]any, 0, 2*len(part))
		for _, r := range part {
			args = append(args, string(r.Session), digits(r.Epoch))
		}
		v, err := q.run(ctx, q.missing, q.keys(pool, "tickets", "matches"), args...)
		if err != nil {
			return nil, err
		}
		rest := reply{list: asList(v)}
		for len(rest.list) > 0 && !rest.bad {
			missing = append(missing, from+rest.number())
		}
		if err := rest.err(); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// Renew implements matchmaking.Queue.
func (q *Queue) Renew(ctx context.Context, pool string, node protocol.NodeID, ttl time.Duration) error {
	_, err := q.run(ctx, q.renew, q.keys(pool, "nodes", "index", "tickets", "matches", "due", "waits"),
		string(node), micros(ttl), keyTTL.Milliseconds())
	return err
}

// Sweep implements matchmaking.Queue.
func (q *Queue) Sweep(ctx context.Context, pool string, limit int) (matchmaking.Swept, error) {
	v, err := q.run(ctx, q.sweep, q.keys(pool, "index", "tickets", "matches", "due", "nodes"),
		min(limit, maxBatch), micros(matchmaking.RememberMatch))
	if err != nil {
		return matchmaking.Swept{}, err
	}
	rest := reply{list: asList(v)}
	s := matchmaking.Swept{Expired: rest.number(), Forgotten: rest.number(), Reaped: rest.number(), Nodes: rest.number()}
	return s, rest.err()
}

// Stats implements matchmaking.Queue.
func (q *Queue) Stats(ctx context.Context, pool string) (matchmaking.Stats, error) {
	v, err := q.run(ctx, q.stats, q.keys(pool, "tickets", "waits"), matchmaking.WaitsKept)
	if err != nil {
		return matchmaking.Stats{}, err
	}
	rest := reply{list: asList(v)}
	now := rest.time()
	s := matchmaking.Stats{Waiting: rest.number()}
	lately, oldest := 0, time.Duration(0)
	for _, w := range rest.next() {
		text, _ := w.(string)
		at, waited, ok := strings.Cut(text, ":")
		us, err := strconv.ParseInt(waited, 10, 64)
		when, good := parseTime(at)
		if !ok || err != nil || !good {
			continue // a wait more or less
		}
		age := now.Sub(when)
		if age <= matchmaking.WaitsWindow {
			s.Waits = append(s.Waits, time.Duration(us)*time.Microsecond)
		}
		if matchmaking.Lately(age) {
			lately, oldest = lately+1, max(oldest, age)
		}
	}
	s.Rate = matchmaking.MatchRate(lately, oldest)
	return s, rest.err()
}

// errReply is the error for an answer that no script of ours gives.
var errReply = errors.New("matchmaking/redisqueue: unreadable reply")

// reply reads a list of values one after another.
type reply struct {
	list []any
	bad  bool
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

func (r *reply) pop() any {
	if len(r.list) == 0 {
		r.bad = true
		return nil
	}
	v := r.list[0]
	r.list = r.list[1:]
	return v
}

func (r *reply) text() string {
	s, ok := r.pop().(string)
	r.bad = r.bad || !ok
	return s
}

func (r *reply) number() int {
	n, ok := r.pop().(int64)
	r.bad = r.bad || !ok
	return int(n)
}

func (r *reply) next() []any {
	list, ok := r.pop().([]any)
	r.bad = r.bad || !ok
	return list
}

func (r *reply) time() time.Time {
	t, ok := parseTime(r.text())
	r.bad = r.bad || !ok
	return t
}

func (r *reply) pair(pool string) matchmaking.Pair {
	p := matchmaking.Pair{Match: protocol.RoomID(r.text()), Pool: pool}
	for i := range p.Entrants {
		session, ticket := r.text(), r.text()
		e, err := parseTicket(ticket)
		r.bad = r.bad || err != nil
		e.Session = protocol.SessionID(session)
		p.Entrants[i] = e
	}
	return p
}

func (r *reply) err() error {
	if r.bad {
		return errReply
	}
	return nil
}

// parseTicket reads a ticket as it is stored, but for its terms.
func parseTicket(s string) (e matchmaking.Entrant, err error) {
	f := strings.SplitN(s, "\n", 6)
	if len(f) != 6 || len(f[0]) != 16 || f[2] == "" || f[3] == "" || f[5] == "" {
		return e, errReply
	}
	epoch, err := strconv.ParseUint(f[0], 10, 64)
	since, ok := parseTime(f[1])
	if err != nil || !ok || epoch == 0 {
		return e, errReply
	}
	return matchmaking.Entrant{Ref: matchmaking.Ref{Epoch: epoch}, User: protocol.UserID(f[2]), Node: protocol.NodeID(f[3]), Since: since, Data: f[4]}, nil
}

// parseTime reads 16 digits of microseconds.
func parseTime(s string) (time.Time, bool) {
	us, err := strconv.ParseUint(s, 10, 63)
	return time.UnixMicro(int64(us)), err == nil && len(s) == 16
}

// digits writes 16 digits, so that strings compare as numbers do.
func digits(n uint64) string { return fmt.Sprintf("%016d", n) }

func micros(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }

func join(terms []matchmaking.Term) string {
	var b strings.Builder
	for i, t := range terms {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(string(t))
	}
	return b.String()
}

func excluded(users []protocol.UserID) string {
	var b strings.Builder
	b.WriteByte('\n')
	for _, u := range users {
		b.WriteString(string(u))
		b.WriteByte('\n')
	}
	return b.String()
}

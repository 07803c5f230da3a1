package matchmaking

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// noteKind says what one node tells another about a match.
type noteKind string

const (
	notePropose noteKind = "propose" // to the node of the one who waited
	noteLive    noteKind = "live"    // to the node of the one who searched
	noteRequeue noteKind = "requeue" // to either: the proposal came to nothing
)

// why says why a proposal was turned down; also the value of a metric's label.
type why string

const (
	whyGone     why = "gone"     // no longer there, or not for this match
	whyExcluded why = "excluded" // the two must not meet
	whySilent   why = "silent"   // gave no sign of life
	whyBusy     why = "busy"     // could not be judged just now
)

// note is what one node tells another.
type note struct {
	Kind noteKind
	Pair Pair            // noteRequeue: only Match and Pool
	To   Ref             // noteRequeue: whose side it is for
	Why  why             // noteRequeue
	Not  protocol.UserID // noteRequeue: who turned down, "" if that is no matter
}

// wireNote is a note on its way. Zero fields are left out.
type wireNote struct {
	Kind    noteKind           `json:"k"`
	Match   protocol.RoomID    `json:"m"`
	Pool    string             `json:"p"`
	Members []wireEntrant      `json:"e,omitempty"`
	Session protocol.SessionID `json:"s,omitempty"`
	Epoch   uint64             `json:"n,omitempty"`
	Why     why                `json:"w,omitempty"`
	Not     protocol.UserID    `json:"x,omitempty"`
}

type wireEntrant struct {
	Session protocol.SessionID `json:"s"`
	Epoch   uint64             `json:"n"`
	User    protocol.UserID    `json:"u"`
	Node    protocol.NodeID    `json:"h"`
	Since   int64              `json:"t"` // microseconds
	Data    string             `json:"d"`
}

// maxNote bounds a note in bytes.
const maxNote = 32 << 10

func encodeNote(n note) ([]byte, error) {
	w := wireNote{Kind: n.Kind, Match: n.Pair.Match, Pool: n.Pair.Pool, Session: n.To.Session, Epoch: n.To.Epoch, Why: n.Why, Not: n.Not}
	if n.Kind != noteRequeue {
		for _, e := range n.Pair.Entrants {
			w.Members = append(w.Members, wireEntrant{e.Session, e.Epoch, e.User, e.Node, e.Since.UnixMicro(), e.Data})
		}
	}
	return json.Marshal(w)
}

// decodeNote reads a note and refuses what no node sends.
func decodeNote(b []byte) (note, error) {
	if len(b) > maxNote {
		return note{}, errors.New("too long")
	}
	var w wireNote
	if err := json.Unmarshal(b, &w); err != nil {
		return note{}, err
	}
	n := note{Kind: w.Kind, Pair: Pair{Match: w.Match, Pool: w.Pool}, To: Ref{w.Session, w.Epoch}, Why: w.Why, Not: w.Not}
	if !plain(string(w.Match), 128) || !isPart(w.Pool) {
		return note{}, errors.New("match or pool")
	}
	switch w.Kind {
	case noteRequeue:
		if !slices.Contains([]why{whyGone, whyExcluded, whySilent, whyBusy}, w.Why) || !plain(string(w.Session), 128) || len(w.Members) != 0 {
			return note{}, errors.New("requeue")
		}
		return n, nil
	case notePropose, noteLive:
	default:
		return note{}, fmt.Errorf("kind %q", w.Kind)
	}
	if len(w.Members) != 2 || w.Session != "" || w.Epoch != 0 || w.Why != "" || w.Not != "" {
		return note{}, errors.New("members")
	}
	for i, e := range w.Members {
		if !plain(string(e.Session), 128) || !plain(string(e.User), 128) || !plain(string(e.Node), 128) || e.Epoch == 0 || e.Epoch > maxEpoch {
			return note{}, errors.New("member")
		}
		n.Pair.Entrants[i] = Entrant{Ref: Ref{e.Session, e.Epoch}, User: e.User, Node: e.Node, Since: time.UnixMicro(e.Since), Data: e.Data}
	}
	if n.Pair.Entrants[0].Session == n.Pair.Entrants[1].Session {
		return note{}, errors.New("the same session twice")
	}
	return n, nil
}

// details is what the other side of a match learns: Entrant.Data.
type details struct {
	Name      string   `json:"name,omitempty"`
	Tags      []string `json:"tags,omitempty"`
	Languages []string `json:"langs,omitempty"`
	Relay     bool     `json:"relay,omitempty"`
}

const maxDetailName = 1024

func encodeDetails(name string, p Profile) (string, error) {
	if len(name) > maxDetailName {
		return "", protocol.Errorf(protocol.CodeBadRequest, "name: too long")
	}
	b, err := json.Marshal(details{Name: name, Tags: p.Tags, Languages: p.Languages, Relay: p.Relay})
	return string(b), err
}

func decodeDetails(s string) (details, error) {
	var d details
	if err := json.Unmarshal([]byte(s), &d); err != nil {
		return d, err
	}
	if len(d.Tags) > protocol.MaxTags || len(d.Languages) > protocol.MaxLanguages || len(d.Name) > maxDetailName {
		return d, errors.New("details: too many")
	}
	return d, nil
}

// match reads a pair.
func (m *Matcher) match(p Pair) (Match, error) {
	name, _, _ := strings.Cut(p.Pool, partSep)
	pool := m.pools[name]
	if pool == nil {
		return Match{}, fmt.Errorf("pool %q is not configured here", name)
	}
	match := Match{ID: p.Match, Pool: name, Relay: pool.RelayOnly}
	for i, e := range p.Entrants {
		d, err := decodeDetails(e.Data)
		if err != nil {
			return Match{}, err
		}
		match.Members[i] = Member{Session: e.Session, User: e.User, Name: d.Name, Node: e.Node, Since: e.Since,
			Tags: d.Tags, Languages: d.Languages, Relay: d.Relay}
		match.Relay = match.Relay || d.Relay
	}
	match.Shared = shared(match.Members[0], match.Members[1])
	return match, nil
}

// shared is what two people have in common, in the order of the first.
func shared(a, b Member) protocol.Shared {
	var s protocol.Shared
	for _, t := range a.Tags {
		if slices.Contains(b.Tags, t) {
			s.Tags = append(s.Tags, t)
		}
	}
	for _, l := range a.Languages {
		if slices.Contains(b.Languages, l) {
			s.Language = l
			break
		}
	}
	return s
}

// send tells another node; the note may be lost.
func (m *Matcher) send(to protocol.NodeID, n note) {
	b, err := encodeNote(n)
	if err == nil {
		err = m.cfg.Notifier.Notify(to, string(n.Pair.Match), b)
	}
	if err != nil {
		m.cfg.Logger.Warn("node not told", "node", to, "kind", n.Kind, "err", err)
		m.metrics.notes.WithLabelValues("lost").Inc()
		return
	}
	m.metrics.notes.WithLabelValues("sent").Inc()
}

// sendRequeue tells a side of a proposal that it came to nothing.
func (m *Matcher) sendRequeue(p Pair, side int, w why, not protocol.UserID) {
	e := p.Entrants[side]
	n := note{Kind: noteRequeue, Pair: Pair{Match: p.Match, Pool: p.Pool}, To: e.Ref, Why: w, Not: not}
	if e.Node == m.cfg.Node {
		m.requeue(n)
		return
	}
	m.send(e.Node, n)
}

// Receive takes in what Notify of another node sent. It returns at once.
func (m *Matcher) Receive(from protocol.NodeID, payload []byte) {
	n, err := decodeNote(payload)
	if err != nil {
		m.metrics.notes.WithLabelValues("bad").Inc()
		m.cfg.Logger.Error("note not readable", "from", from, "err", err)
		return
	}
	m.metrics.notes.WithLabelValues("received").Inc()
	switch n.Kind {
	case notePropose:
		if n.Pair.Entrants[0].Node == m.cfg.Node {
			m.consider(n.Pair)
		}
	case noteLive:
		if n.Pair.Entrants[1].Node == m.cfg.Node {
			m.live(n.Pair)
		}
	case noteRequeue:
		m.requeue(n)
	}
}

// busyPause is how long a search is not given the same partner again whose node
// could not judge the proposal.
const busyPause = 2 * time.Second

// requeue takes in that a proposal came to nothing for a local side.
func (m *Matcher) requeue(n note) {
	now := time.Now()
	m.mu.Lock()
	s := m.searches[n.To.Session]
	if s == nil || s.epoch != n.To.Epoch {
		m.mu.Unlock()
		return
	}
	switch n.Why {
	case whyExcluded:
		s.avoidLocked(n.Not, time.Time{})
	case whyBusy:
		s.avoidLocked(n.Not, now.Add(busyPause))
	}
	if s.state == waiting {
		m.enterAliveLocked(s)
	}
	m.mu.Unlock()
	m.metrics.requeued.WithLabelValues(string(n.Why)).Inc()
	m.back(s, n.Pair.Match, now, n.Why == whyBusy)
}

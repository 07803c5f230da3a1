// Package history says from what clients wrote down whether a service kept its
// promises. It knows no network and no clock: a Run is the logs of all clients,
// the faults that were made meanwhile and what is expected; Check returns what was
// broken. All times are offsets from the start of the run, taken in one process.
package history

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kind is what a client wrote down.
type Kind string

// The kinds. Of a request the start and the answer are written: Ask, then AskOK
// or AskNo. Whatever is logged after an answer reached the client after it; what
// is logged between start and answer may have come on either side of it.
const (
	Hello  Kind = "hello"  // a session began; Node
	Down   Kind = "down"   // the socket is lost
	Up     Kind = "up"     // resumed; Node
	Lost   Kind = "lost"   // the session was gone, a new one began; Node
	Resync Kind = "resync" // after Up: pushes were lost; Room, Page and Searching are the truth
	Cut    Kind = "cut"    // the plan broke the client's link
	Mended Kind = "mended" // the link works again

	Gone Kind = "gone" // the client vanished without a word; nothing follows
	Bye  Kind = "bye"  // the client said bye; nothing follows
	End  Kind = "end"  // the run is over; nothing follows

	Ask     Kind = "ask" // find, or next after Quit
	AskOK   Kind = "ask-ok"
	AskNo   Kind = "ask-no"
	Told    Kind = "told" // match.found: Room, Peer, Seat (mine), Offerer
	Stopped Kind = "stopped"

	Quit     Kind = "quit" // leave, next or cancel; Room "" where none was known
	QuitOK   Kind = "quit-ok"
	PeerLeft Kind = "peer-left"
	Closed   Kind = "closed" // room.closed

	Send   Kind = "send" // a signal; ID
	SendOK Kind = "send-ok"
	SendNo Kind = "send-no"
	Got    Kind = "got" // a signal; ID, Seat of the sender

	Say   Kind = "say" // a chat message; ID
	SayOK Kind = "say-ok"
	SayNo Kind = "say-no"
	Heard Kind = "heard" // a chat message; ID, Off, Seat of the sender
	Pages Kind = "page"  // the room's whole chat, asked for Took ago
)

// Event is one line of a client's log.
type Event struct {
	At        time.Duration
	Kind      Kind
	Room      string        `json:",omitempty"`
	Peer      string        `json:",omitempty"` // name
	Seat      string        `json:",omitempty"`
	Offerer   bool          `json:",omitempty"`
	ID        string        `json:",omitempty"` // payload, see ID
	Off       uint64        `json:",omitempty"`
	Page      []Message     `json:",omitempty"`
	Searching bool          `json:",omitempty"`
	Took      time.Duration `json:",omitempty"` // of answers: since the start
	Node      string        `json:",omitempty"`
	Err       string        `json:",omitempty"`
}

// Message is a line of a chat page.
type Message struct {
	Off uint64
	ID  string
}

// Log is what one client wrote. Name is unique in the run and what partners are
// told; up to the last dot it names the person.
type Log struct {
	Name   string
	Events []Event
}

// Person is who the client belongs to: two clients of a person are never matched.
func (l *Log) Person() string {
	if i := strings.LastIndexByte(l.Name, '.'); i > 0 {
		return l.Name[:i]
	}
	return l.Name
}

// ID names a payload: who sent it, for which room, and a number that rises with
// each payload of its sender.
func ID(name, room string, n int) string { return fmt.Sprintf("%s/%s/%d", name, room, n) }

// parseID takes a payload's name apart.
func parseID(id string) (name, room string, n int, ok bool) {
	parts := strings.Split(id, "/")
	if len(parts) != 3 {
		return "", "", 0, false
	}
	n, err := strconv.Atoi(parts[2])
	return parts[0], parts[1], n, err == nil
}

// Fault is what was done to the service, and what it excuses.
type Fault struct {
	Name     string
	From, To time.Duration // To: the fault is over; Expect.Recover more is granted

	Kills  string // node that is dead from then on
	Stops  bool   // requests may stay unanswered meanwhile
	Loses  bool   // messages between nodes may be lost: nobody promises them yet
	Wipes  bool   // the shared store forgot rooms and chats
	Denies bool   // who reconnects may be sent away for good
}

// Expect is what is promised. Durations bound what happens outside of faults.
type Expect struct {
	ResumeElsewhere bool // a killed node's sessions go on on another one
	BusSurvives     bool // no signal or chat push is lost by a fault that Loses
	ChatSurvives    bool // a wiped store costs no acknowledged chat message

	Grace   time.Duration // how long a session outlives its socket
	Recover time.Duration // after a fault, until all promises hold again
	Settle  time.Duration // acknowledged → received
	Undo    time.Duration // who is alone in a room is told
	Wait    time.Duration // two compatible people wait side by side
	Answer  time.Duration // a request is answered
	Back    time.Duration // link mended → resumed
	Ghost   time.Duration // after this, who is gone is not matched any more
	Slack   time.Duration // scheduling of the harness
}

// Rule names a promise.
type Rule string

// The rules.
const (
	RuleThird    Rule = "third"     // a room of more than two
	RuleSides    Rule = "sides"     // two tellings that do not fit together
	RuleHalf     Rule = "half-told" // one was told, the other never, and nobody undid it
	RuleAlone    Rule = "alone"     // the partner is gone and nobody said so
	RuleTorn     Rule = "torn"      // the partner is there, and one was told that it left
	RuleTwoRooms Rule = "two-rooms" // matched while in a room
	RuleAgain    Rule = "told-again"
	RuleUnasked  Rule = "unasked" // matched without a search
	RuleSelf     Rule = "self"    // matched with another client of the same person
	RuleGhost    Rule = "ghost"   // matched with someone who was gone
	RuleOrder    Rule = "order"   // a sender's signals, or the chat, out of order
	RuleDouble   Rule = "double"  // the same payload twice
	RuleOutside  Rule = "outside" // a payload of a room that is not, or no longer, one's own
	RuleForged   Rule = "forged"  // a payload that its seat did not send
	RuleSignal   Rule = "signal-lost"
	RuleChat     Rule = "chat-lost"
	RuleHistory  Rule = "history" // an acknowledged message is not in the history, or the history has holes
	RuleFork     Rule = "fork"    // two messages under one number
	RuleWait     Rule = "wait"
	RuleAnswer   Rule = "answer"
	RuleSession  Rule = "session-lost"
	RuleBack     Rule = "slow-back"
)

// Violation is one broken promise.
type Violation struct {
	Rule Rule
	At   time.Duration
	Text string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s at %v: %s", v.Rule, v.At.Round(time.Millisecond), v.Text)
}

// Run is everything that is known of a run.
type Run struct {
	Logs   []*Log
	Faults []Fault
	Expect Expect
}

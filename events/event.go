package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/rondo-chat/rondo/protocol"
)

// Type is what an event is of.
type Type string

// The types. Each has the part of protocol.ConvEvent with this name.
const (
	Message      Type = "message"
	Person       Type = "person"
	Conversation Type = "conversation"
)

// Types returns all types.
func Types() []Type { return []Type{Message, Person, Conversation} }

// Row is an event as the outbox has it. Payload is the JSON of a protocol.ConvEvent.
type Row struct {
	Room    protocol.RoomID
	Seq     uint64
	Pos     uint64 // its place among all events, rising
	At      int64  // Unix milliseconds
	Payload []byte
}

// Event is what a sink gets.
type Event struct {
	ID   string // "<room>:<seq>"
	Room protocol.RoomID
	Seq  uint64
	Pos  uint64
	Type Type
	At   int64  // Unix milliseconds
	Body []byte // the Envelope in JSON: what is sent and signed
	Late bool   // a replay: newer events came before it
}

// Fill puts the type and the room of e into a template, for {type} and {room}.
func Fill(template string, e Event) string {
	return strings.NewReplacer("{type}", string(e.Type), "{room}", string(e.Room)).Replace(template)
}

// Envelope is the JSON form of an event.
type Envelope struct {
	ID   string          `json:"id"`
	Pos  uint64          `json:"pos"`
	Type Type            `json:"type"`
	At   int64           `json:"at"`
	Data json.RawMessage `json:"data"` // protocol.ConvEvent
}

var errPayload = errors.New("events: the outbox holds no event of a conversation")

// newEvent makes the Event of a row, and says of which kind its conversation is if
// the row knows ("" otherwise).
func newEvent(r Row) (Event, protocol.ConvKind, error) {
	e := Event{ID: fmt.Sprintf("%s:%d", r.Room, r.Seq), Room: r.Room, Seq: r.Seq, Pos: r.Pos, At: r.At}
	var data struct {
		Message      json.RawMessage        `json:"message"`
		Person       json.RawMessage        `json:"person"`
		Conversation *protocol.Conversation `json:"conversation"`
	}
	if err := json.Unmarshal(r.Payload, &data); err != nil {
		return e, "", errPayload
	}
	var kind protocol.ConvKind
	switch {
	case data.Message != nil:
		e.Type = Message
	case data.Person != nil:
		e.Type = Person
	case data.Conversation != nil:
		e.Type, kind = Conversation, data.Conversation.Kind
	default:
		return e, "", errPayload
	}
	var err error
	e.Body, err = json.Marshal(Envelope{ID: e.ID, Pos: e.Pos, Type: e.Type, At: e.At, Data: r.Payload})
	return e, kind, err
}

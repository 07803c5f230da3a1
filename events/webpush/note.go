package webpush

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/internal/pause"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	maxTitle = 80
	maxBody  = 120 // characters of what a notification shows of a message
)

// Note is what a device gets, as JSON.
type Note struct {
	Room  protocol.RoomID `json:"room"`
	Title string          `json:"title"` // of a direct conversation the author, else the conversation
	Body  string          `json:"body"`  // at most 120 characters
	URL   string          `json:"url"`   // of the conversation, on this site
}

// message is the new message of an event; false if it is of something else.
func message(e events.Event) (*protocol.ConvMessage, bool) {
	var envelope events.Envelope
	var data protocol.ConvEvent
	if e.Type != events.Message || e.Late || json.Unmarshal(e.Body, &envelope) != nil || json.Unmarshal(envelope.Data, &data) != nil {
		return nil, false
	}
	m := data.Message
	return m, m != nil && m.Seq == e.Seq && m.Deleted == 0 && m.From != ""
}

// push is a note on its way to a device.
type push struct {
	to    Device
	room  protocol.RoomID
	plain []byte
	topic string
	until time.Time // later nobody wants it
}

// gather finds out who is to be told of an event, and adds a push for each to the list; of a device and a room
// the newest one stays.
func (s *Sink) gather(ctx context.Context, e events.Event, list map[place]push) error {
	m, ok := message(e)
	until := time.UnixMilli(e.At).Add(TTL)
	if !ok || !time.Now().Before(until) {
		return nil
	}
	if err := pause.For(ctx, min(s.cfg.Delay, time.Until(time.UnixMilli(e.At).Add(s.cfg.Delay)))); err != nil {
		return err
	}
	kind, name, err := s.cfg.Devices.Room(ctx, e.Room)
	if err != nil || kind == "" || kind == protocol.ConvTopic && len(m.Mentions) == 0 {
		return err
	}
	q := Query{Room: e.Room, Seq: m.Seq, Author: m.From}
	if kind == protocol.ConvTopic {
		q.Among = m.Mentions
	}
	devices, err := s.cfg.Devices.Of(ctx, q)
	if err != nil || len(devices) == 0 {
		return err
	}
	var names map[protocol.UserID]string
	if len(m.Mentions) > 0 {
		if names, err = s.cfg.Devices.Names(ctx, e.Room, m.Mentions); err != nil {
			return err
		}
	}
	plain, err := write(e.Room, kind, name, m, names)
	if err != nil {
		return err
	}
	for _, d := range devices {
		list[place{d.ID, e.Room}] = push{to: d, room: e.Room, plain: plain, topic: topic(d, e.Room), until: until}
	}
	return nil
}

// write makes the note of a message.
func write(room protocol.RoomID, kind protocol.ConvKind, name string, m *protocol.ConvMessage, names map[protocol.UserID]string) ([]byte, error) {
	text := m.Text
	for _, id := range m.Mentions {
		text = strings.ReplaceAll(text, "<@"+string(id)+">", "@"+names[id])
	}
	if text = line(text); text == "" && len(m.Files) > 0 {
		text = line(m.Files[0].Name)
	}
	n := Note{Room: room, Title: line(m.Name), Body: text, URL: "/c/" + string(room)}
	if kind != protocol.ConvDirect {
		n.Title, n.Body = line(name), n.Title+": "+n.Body
	}
	n.Title, n.Body = cut(n.Title, maxTitle), cut(n.Body, maxBody)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(n)
	return bytes.TrimSpace(b.Bytes()), err
}

// line makes one line of a text.
func line(s string) string { return strings.Join(strings.Fields(s), " ") }

// cut shortens s to n characters.
func cut(s string, n int) string {
	all := []rune(s)
	if len(all) <= n {
		return s
	}
	return strings.TrimRight(string(all[:n-1]), " ") + "…"
}

// topic is the room's name at the device's push service (RFC 8030, section 5.4). The device's secret is in it, so that nobody
// there can tell who is in the same room.
func topic(d Device, room protocol.RoomID) string {
	sum := sha256.Sum256([]byte(d.Keys.Auth + " " + string(room)))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}

// Package firebase mirrors conversations to a Firebase Realtime Database, by its REST
// interface (firebase.google.com/docs/reference/rest/database):
//
//	rooms/<room>                 the conversation
//	messages/<room>/m<seq>       the message as it is now; seq with 16 digits
//	people/<room>/<user>         the member
//	presence/<room>              who is here, if that is mirrored
//
// It promises that what stands there becomes what stands here: each write sets a place to
// what it is after the event, so that one that comes twice changes nothing; a batch is one
// atomic request. A deleted conversation leaves its tombstone, and what retention took
// away here goes there. A replayed event never replaces something newer. There are no
// signatures: who may write is the database's to decide.
package firebase

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/internal/googleauth"
	"github.com/rondo-chat/rondo/internal/outbound"
	"github.com/rondo-chat/rondo/protocol"
)

// sweep is how many messages are deleted at once: they are read first, which must fit into an answer.
const sweep = 25

// Config says where the database is. Zero fields have the defaults given.
type Config struct {
	URL     string        // https://<database>/<path>: all lies under the path
	Account []byte        // JSON key file of a service account
	Client  *http.Client  // of internal/outbound
	Timeout time.Duration // for one request; 10 s
}

// Sink is a Realtime Database.
type Sink struct {
	cfg    Config
	base   string // without a slash at its end
	tokens *googleauth.Source
}

var (
	_ events.Mirror = (*Sink)(nil)

	errEvent = errors.New("firebase: no event of a conversation")
)

// New returns a Sink.
func New(cfg Config) (*Sink, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" {
		return nil, errors.New("firebase: the URL must be https://database/path")
	}
	if cfg.Client == nil || cfg.Timeout < 0 {
		return nil, errors.New("firebase: Config.Client is missing, or Timeout negative")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	t, err := googleauth.New(cfg.Client, cfg.Account, "https://www.googleapis.com/auth/firebase.database", "https://www.googleapis.com/auth/userinfo.email")
	if err != nil {
		return nil, fmt.Errorf("firebase: %w", err)
	}
	return &Sink{cfg: cfg, base: strings.TrimRight(cfg.URL, "/"), tokens: t}, nil
}

// Deliver implements events.Sink.
func (s *Sink) Deliver(ctx context.Context, list []events.Event) (int, error) {
	if len(list) == 1 && list[0].Late {
		if old, err := s.outdated(ctx, list[0]); err != nil || old {
			return btoi(err == nil), err
		}
	}
	u := update{places: map[string]any{}}
	n := 0
	for n < len(list) {
		fits, err := u.add(list[n])
		if err != nil && n == 0 {
			return 0, &events.Refused{Reason: err.Error()}
		}
		if err != nil || !fits { // the next request's
			break
		}
		n++
	}
	if err := s.call(ctx, http.MethodPatch, "", nil, u.places, nil); err != nil {
		return 0, err
	}
	for room, oldest := range u.oldest {
		if err := s.retire(ctx, room, oldest); err != nil {
			return 0, err
		}
	}
	return n, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Present implements events.Mirror.
func (s *Sink) Present(ctx context.Context, room protocol.RoomID, p protocol.ConvPresence) error {
	value := struct {
		protocol.ConvPresence
		At int64 `json:"at"`
	}{p, time.Now().UnixMilli()}
	return s.call(ctx, http.MethodPut, "/presence/"+string(room), nil, value, nil)
}

// Close implements events.Sink.
func (s *Sink) Close() { s.cfg.Client.CloseIdleConnections() }

// outdated reports whether something newer than a replayed event is there.
func (s *Sink) outdated(ctx context.Context, e events.Event) (bool, error) {
	data, err := decode(e)
	if err != nil {
		return false, &events.Refused{Reason: err.Error()}
	}
	var deleted *bool
	if err := s.call(ctx, http.MethodGet, "/rooms/"+string(e.Room)+"/deleted", nil, nil, &deleted); err != nil || deleted != nil && *deleted {
		return err == nil, err
	}
	at, rev := place(data)
	var there *uint64
	if err := s.call(ctx, http.MethodGet, "/"+at+"/rev", nil, nil, &there); err != nil {
		return false, err
	}
	return there != nil && *there >= rev, nil
}

// retire deletes the messages before oldest.
func (s *Sink) retire(ctx context.Context, room protocol.RoomID, oldest uint64) error {
	query := url.Values{
		"orderBy": {`"$key"`}, "endAt": {strconv.Quote(messageKey(oldest - 1))}, "limitToFirst": {strconv.Itoa(sweep)},
	}
	for {
		var found map[string]json.RawMessage
		if err := s.call(ctx, http.MethodGet, "/messages/"+string(room), query, nil, &found); err != nil {
			return err
		}
		gone := map[string]any{}
		for key := range found {
			gone[key] = nil
		}
		if len(gone) == 0 {
			return nil
		}
		if err := s.call(ctx, http.MethodPatch, "/messages/"+string(room), nil, gone, nil); err != nil {
			return err
		}
		if len(gone) < sweep {
			return nil
		}
	}
}

// call sends one request for a path, and reads its answer into out unless that is nil.
func (s *Sink) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return &events.Refused{Reason: "no JSON"}
		}
	}
	if out == nil {
		query = url.Values{"print": {"silent"}}
	}
	token, err := s.tokens.Token(ctx)
	if err != nil {
		return err
	}
	target := s.base + path + ".json?" + query.Encode()
	if path == "" && strings.Count(s.base, "/") == 2 { // the root of the database
		target = s.base + "/.json?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return outbound.Cause(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.cfg.Client.Do(req)
	if err != nil {
		return outbound.Cause(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return outbound.Cause(err)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		s.tokens.Forget()
	}
	if err := judge(resp.StatusCode); err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// judge says what a status means.
func judge(code int) error {
	reason := "status " + strconv.Itoa(code)
	switch {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusBadRequest, code == http.StatusRequestEntityTooLarge:
		return &events.Refused{Reason: reason}
	}
	return errors.New(reason)
}

// update is the body of a PATCH: values by their places, nil for what goes.
type update struct {
	places map[string]any
	oldest map[protocol.RoomID]uint64 // rooms with messages to retire
	gone   map[protocol.RoomID]bool   // rooms that the update empties
}

// add puts an event in. It reports false if that is not possible in one request with what
// is in it: no place may lie in another one.
func (u *update) add(e events.Event) (bool, error) {
	data, err := decode(e)
	if err != nil {
		return false, err
	}
	c := data.Conversation
	if u.gone[e.Room] && c == nil {
		return false, nil
	}
	at, _ := place(data)
	switch {
	case data.Message != nil:
		u.places[at] = data.Message
	case data.Person != nil:
		u.places[at] = data.Person
	default:
		u.places[at] = c
	}
	if c == nil {
		return true, nil
	}
	if c.Deleted {
		u.empty(e.Room)
	} else if c.Oldest > 1 {
		if u.oldest == nil {
			u.oldest = map[protocol.RoomID]uint64{}
		}
		u.oldest[e.Room] = c.Oldest
	}
	return true, nil
}

// empty takes everything of a room away but its tombstone.
func (u *update) empty(room protocol.RoomID) {
	for _, branch := range []string{"messages/", "people/"} {
		for at := range u.places {
			if strings.HasPrefix(at, branch+string(room)+"/") {
				delete(u.places, at)
			}
		}
		u.places[branch+string(room)] = nil
	}
	u.places["presence/"+string(room)] = nil
	delete(u.oldest, room)
	if u.gone == nil {
		u.gone = map[protocol.RoomID]bool{}
	}
	u.gone[room] = true
}

// decode reads what an event says, and checks what becomes a key: keys may not
// hold . $ # [ ] / or control characters.
func decode(e events.Event) (protocol.ConvEvent, error) {
	var envelope events.Envelope
	var data protocol.ConvEvent
	if json.Unmarshal(e.Body, &envelope) != nil || json.Unmarshal(envelope.Data, &data) != nil {
		return data, errEvent
	}
	if data.Message == nil && data.Person == nil && data.Conversation == nil || !goodKey(string(e.Room)) {
		return data, errEvent
	}
	if data.Person != nil && !goodKey(string(data.Person.ID)) {
		return data, errEvent
	}
	data.Room = e.Room
	return data, nil
}

func goodKey(s string) bool {
	return s != "" && len(s) < 256 && !strings.ContainsAny(s, ".$#[]/") && !strings.ContainsFunc(s, func(r rune) bool { return r < 32 || r == 127 })
}

// place returns where the thing of an event stands, and its number.
func place(e protocol.ConvEvent) (at string, rev uint64) {
	switch {
	case e.Message != nil:
		return fmt.Sprintf("messages/%s/%s", e.Room, messageKey(e.Message.Seq)), e.Message.Rev
	case e.Person != nil:
		return fmt.Sprintf("people/%s/%s", e.Room, e.Person.ID), e.Person.Rev
	}
	return "rooms/" + string(e.Room), e.Conversation.Rev
}

// messageKey is the key of a message: keys of digits alone would make an array of them.
func messageKey(seq uint64) string { return fmt.Sprintf("m%016d", seq) }

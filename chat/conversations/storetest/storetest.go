// Package storetest is the conformance suite of conversations.Store: what each method
// of Store, Reader and Tx promises.
package storetest

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// Run runs the suite. open returns an empty store each time; most tests share one and take ids of their own.
func Run(t *testing.T, open func(testing.TB) conversations.Store) {
	shared := open(t)
	for _, test := range tests() {
		t.Run(test.name, func(t *testing.T) {
			h := house{store: shared, name: strings.ToLower(test.name)}
			if test.alone {
				h.store = open(t)
			}
			test.run(t, h)
		})
	}
}

// test is one of the suite; alone: it looks at all that there is.
type test struct {
	name  string
	run   func(*testing.T, house)
	alone bool
}

func tests() []test {
	return []test{
		{"Send", testSend, false},
		{"Concurrent", testConcurrent, false},
		{"Snapshot", testSnapshot, false},
		{"Conversations", testConversations, false},
		{"All", testAll, false},
		{"Inbox", testInbox, false},
		{"Topics", testTopics, true},
		{"Members", testMembers, false},
		{"Marks", testMarks, false},
		{"IdleGuests", testIdleGuests, false},
		{"Pages", testPages, false},
		{"Nobody", testNobody, false},
		{"Revisions", testRevisions, false},
		{"Reactions", testReactions, false},
		{"MessagesOf", testMessagesOf, false},
		{"Bounds", testBounds, false},
		{"RemoveMessages", testRemoveMessages, false},
		{"RemoveConversation", testRemoveConversation, false},
		{"Files", testFiles, false},
		{"Subscriptions", testSubscriptions, false},
		{"Subscribed", testSubscribed, false},
		{"Search", testSearch, false},
		{"Terms", testTerms, false},
		{"Cursors", testCursors, false},
		{"Lease", testLease, false},
		{"Outbox", testOutbox, true},
		{"Trim", testTrim, true},
		{"Sequencers", testSequencers, true},
	}
}

// house is the store of a test, which names what it makes.
type house struct {
	store conversations.Store
	name  string
}

// room is the test's conversation with that letter.
func (h house) room(letter string) protocol.RoomID {
	return protocol.RoomID("c_" + h.name + "_" + letter)
}

// user is the test's person with that letter.
func (h house) user(letter string) protocol.UserID {
	return protocol.UserID("u_" + h.name + "_" + letter)
}

// write runs a transaction, which must succeed.
func (h house) write(t testing.TB, f func(conversations.Tx) error) {
	t.Helper()
	if err := h.store.Write(context.WithoutCancel(t.Context()), "test", f); err != nil {
		t.Fatal(err)
	}
}

// fails runs a transaction, which must fail with err.
func (h house) fails(t testing.TB, want error, f func(conversations.Tx) error) {
	t.Helper()
	if err := h.store.Write(t.Context(), "test", f); !isError(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

// read reads one value, which must succeed.
func read[T any](t testing.TB, h house, f func(conversations.Reader) (T, error)) T {
	t.Helper()
	var got T
	err := h.store.Read(t.Context(), "test", func(r conversations.Reader) (err error) {
		got, err = f(r)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// missing reads what must not be there.
func missing[T any](t testing.TB, h house, f func(conversations.Reader) (T, error)) {
	t.Helper()
	err := h.store.Read(t.Context(), "test", func(r conversations.Reader) error {
		got, err := f(r)
		if err == nil {
			t.Errorf("got %+v, want nothing", got)
		}
		return err
	})
	if !isError(err, conversations.ErrNotFound) {
		t.Errorf("error %v, want %v", err, conversations.ErrNotFound)
	}
}

// same compares.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got\n%+v, want\n%+v", what, got, want)
	}
}

// group is a conversation of the kind group.
func (h house) group(letter string) conversations.Row {
	return conversations.Row{Conversation: protocol.Conversation{ID: h.room(letter), Kind: protocol.ConvGroup, Name: "Group " + letter,
		Writers: protocol.WriteMembers, Created: 1000, Active: 1000}}
}

// text is a message.
func (h house) text(room, from string, seq uint64, text string) conversations.Message {
	return conversations.Message{Room: h.room(room), ConvMessage: protocol.ConvMessage{Seq: seq, Rev: seq, From: h.user(from), Name: "N" + from,
		CID: fmt.Sprint("cid", seq), Text: text, At: 1000 + int64(seq)}}
}

// make inserts conversations.
func (h house) make(t testing.TB, rows ...conversations.Row) {
	t.Helper()
	for _, row := range rows {
		h.write(t, func(tx conversations.Tx) error { return tx.InsertConversation(row) })
	}
}

// send draws numbers and inserts messages, which have them already.
func (h house) send(t testing.TB, list ...conversations.Message) {
	t.Helper()
	h.write(t, func(tx conversations.Tx) error {
		for _, m := range list {
			if _, err := tx.Draw(m.Room, 1); err != nil {
				return err
			}
			if err := tx.InsertMessage(m); err != nil {
				return err
			}
		}
		return nil
	})
}

// seqs are the places of messages.
func seqs(list []conversations.Message) []uint64 {
	var all []uint64
	for _, m := range list {
		all = append(all, m.Seq)
	}
	return all
}

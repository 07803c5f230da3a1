package api

import (
	"bytes"
	"context"
	"io"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/files"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	roomID protocol.RoomID = "c_abcdefghijklmnopqrstuvwxyz"
	fileID string          = "f_abcdefghijklmnopqrstuvwxyz"
)

// talks is a Conversations and a Files that allow everything and write down what they are asked, in the fake's list.
type talks struct {
	*fake
	file protocol.ConvFile
	data string
}

func newTalks(f *fake) *talks {
	return &talks{f, protocol.ConvFile{ID: fileID, Name: "holiday.jpg", Type: "image/jpeg", Size: 5, Width: 1, Height: 1}, "hello"}
}

func (f *fake) Name(_ context.Context, identity protocol.UserID) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return "Name of " + string(identity), f.fail
}

func (f *fake) Registered(_ context.Context, identity protocol.UserID) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, known := f.users[identity]
	return known, f.fail
}

func (t *talks) asked(what string, who conversations.Caller, args any) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls = append(t.calls, what+" "+string(who.Identity))
	t.last = args
	return t.fail
}

func person(id protocol.UserID) protocol.ConvPerson {
	return protocol.ConvPerson{ID: id, Name: "N", Role: protocol.ConvOwner, Joined: 1, Rev: 1}
}

func conversation() protocol.Conversation {
	return protocol.Conversation{ID: roomID, Kind: protocol.ConvTopic, Name: "Jazz", Writers: protocol.WriteEveryone, Guests: true, Members: 1, Seq: 9, Rev: 1, Created: 1, Active: 1}
}

func message(who protocol.UserID) protocol.ConvMessage {
	return protocol.ConvMessage{Seq: 9, Rev: 9, From: who, Name: "N", CID: "a1", Text: "hello", At: 1}
}

func entry(who conversations.Caller) protocol.ConvEntry {
	m := message(who.Identity)
	return protocol.ConvEntry{Conversation: conversation(), Me: person(who.Identity), Last: &m}
}

func sent(who conversations.Caller) protocol.ConvSent {
	return protocol.ConvSent{Message: message(who.Identity), Seq: 9}
}

func (t *talks) Create(_ context.Context, who conversations.Caller, in protocol.ConvCreate) (protocol.ConvEntry, error) {
	return entry(who), t.asked("Create", who, in)
}

func (t *talks) Update(_ context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvPatch) (protocol.Conversation, error) {
	return conversation(), t.asked("Update "+string(room), who, in)
}

func (t *talks) Remove(_ context.Context, who conversations.Caller, room protocol.RoomID) error {
	return t.asked("Remove "+string(room), who, nil)
}

func (t *talks) List(_ context.Context, who conversations.Caller, q protocol.ConvListQuery) (protocol.ConvList, error) {
	return protocol.ConvList{Entries: []protocol.ConvEntry{entry(who)}}, t.asked("List", who, q)
}

func (t *talks) Directory(_ context.Context, who conversations.Caller, q protocol.ConvDirectoryQuery) (protocol.ConvDirectory, error) {
	return protocol.ConvDirectory{Topics: []protocol.Conversation{conversation()}, Next: "n"}, t.asked("Directory", who, q)
}

func (t *talks) Get(_ context.Context, who conversations.Caller, room protocol.RoomID) (protocol.ConvEntry, error) {
	return entry(who), t.asked("Get "+string(room), who, nil)
}

func (t *talks) Search(_ context.Context, who conversations.Caller, q protocol.ConvSearchQuery) (protocol.ConvFound, error) {
	return protocol.ConvFound{Hits: []protocol.ConvHit{{Room: roomID, Message: message(who.Identity)}}}, t.asked("Search", who, q)
}

func (t *talks) Sync(_ context.Context, who conversations.Caller, room protocol.RoomID, q protocol.ConvSyncQuery) (protocol.ConvSync, error) {
	return protocol.ConvSync{Seq: 9, Messages: []protocol.ConvMessage{message(who.Identity)}, People: []protocol.ConvPerson{person(who.Identity)}}, t.asked("Sync "+string(room), who, q)
}

func (t *talks) History(_ context.Context, who conversations.Caller, room protocol.RoomID, q protocol.ConvHistoryQuery) (protocol.ConvHistory, error) {
	return protocol.ConvHistory{Seq: 9, Messages: []protocol.ConvMessage{message(who.Identity)}}, t.asked("History "+string(room), who, q)
}

func (t *talks) Revisions(_ context.Context, who conversations.Caller, room protocol.RoomID, seq uint64) ([]protocol.ConvRevision, error) {
	return nil, t.asked("Revisions "+string(room), who, seq)
}

func (t *talks) Send(_ context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvSend) (protocol.ConvSent, error) {
	return sent(who), t.asked("Send "+string(room), who, in)
}

func (t *talks) Edit(_ context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvChange) (protocol.ConvSent, error) {
	return sent(who), t.asked("Edit "+string(room), who, in)
}

func (t *talks) change(what string, who conversations.Caller, room protocol.RoomID, in protocol.ConvChange) (protocol.ConvSent, error) {
	return sent(who), t.asked(what+" "+string(room), who, in)
}

func (t *talks) Delete(_ context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvChange) (protocol.ConvSent, error) {
	return t.change("Delete", who, room, in)
}

func (t *talks) React(_ context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvChange) (protocol.ConvSent, error) {
	return t.change("React", who, room, in)
}

func (t *talks) Pin(_ context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvChange) (protocol.ConvSent, error) {
	return t.change("Pin", who, room, in)
}

func (t *talks) Mark(_ context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvMark) (protocol.ConvMarked, error) {
	return protocol.ConvMarked{Delivered: 9, Read: 9}, t.asked("Mark "+string(room), who, in)
}

func (t *talks) Members(_ context.Context, who conversations.Caller, room protocol.RoomID, cursor string, limit int) (protocol.ConvPeople, error) {
	return protocol.ConvPeople{People: []protocol.ConvPerson{person(who.Identity)}}, t.asked("Members "+string(room), who, cursor)
}

func (t *talks) Join(_ context.Context, who conversations.Caller, room protocol.RoomID, passcode string) (protocol.ConvEntry, error) {
	return entry(who), t.asked("Join "+string(room), who, passcode)
}

func (t *talks) Leave(_ context.Context, who conversations.Caller, room protocol.RoomID) error {
	return t.asked("Leave "+string(room), who, nil)
}

func (t *talks) Invite(_ context.Context, who conversations.Caller, room protocol.RoomID, user string) (protocol.ConvPerson, error) {
	return person(boID), t.asked("Invite "+string(room), who, user)
}

func (t *talks) SetRole(_ context.Context, who conversations.Caller, room protocol.RoomID, user protocol.UserID, role protocol.ConvRole) (protocol.ConvPerson, error) {
	return person(user), t.asked("SetRole "+string(room), who, role)
}

func (t *talks) translate(_ context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvTranslate) (protocol.ConvTranslated, error) {
	return protocol.ConvTranslated{To: in.To, Texts: []protocol.ConvTranslation{{Seq: 9, Rev: 9, From: "en", Text: "hallo"}}}, t.asked("Translate "+string(room), who, in)
}

func (t *talks) Upload(_ context.Context, who conversations.Caller, room protocol.RoomID, s files.Source) (protocol.ConvFile, error) {
	if _, err := io.Copy(io.Discard, s.Body); err != nil {
		return protocol.ConvFile{}, err
	}
	return t.file, t.asked("Upload "+string(room), who, s.Name)
}

func (t *talks) Open(_ context.Context, who conversations.Caller, id string) (protocol.ConvFile, files.Blob, error) {
	return t.file, opened{bytes.NewReader([]byte(t.data))}, t.asked("Open "+id, who, nil)
}

type opened struct{ *bytes.Reader }

func (opened) Close() error { return nil }

// named notes by which names messages are sent.
type named struct {
	*talks
	names *[]string
}

func (n named) Send(ctx context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvSend) (protocol.ConvSent, error) {
	*n.names = append(*n.names, who.Name)
	return n.talks.Send(ctx, who, room, in)
}

func (t *talks) Subscribe(_ context.Context, who conversations.Caller, in protocol.PushSubscription) (protocol.PushDevice, error) {
	return protocol.PushDevice{ID: "d", Service: "push.example", Created: 1}, t.asked("Subscribe "+who.Session, who, in)
}

func (t *talks) Unsubscribe(_ context.Context, who conversations.Caller, id string) error {
	return t.asked("Unsubscribe "+id, who, nil)
}

func (t *talks) Subscriptions(_ context.Context, who conversations.Caller) ([]protocol.PushDevice, error) {
	return []protocol.PushDevice{{ID: "d", Service: "push.example", Created: 1}}, t.asked("Subscriptions", who, nil)
}

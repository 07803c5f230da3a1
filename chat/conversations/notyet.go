package conversations

import (
	"context"

	"github.com/rondo-chat/rondo/protocol"
)

func errNotYet() error { return protocol.Errorf(protocol.CodeUnavailable, "not yet") }

// Export is all that is stored of a user.
type Export struct{}

// Create is not written yet.
func (c *Conversations) Create(_ context.Context, _ Caller, _ protocol.ConvCreate) (protocol.ConvEntry, error) {
	return protocol.ConvEntry{}, errNotYet()
}

// Update is not written yet.
func (c *Conversations) Update(_ context.Context, _ Caller, _ protocol.RoomID, _ protocol.ConvPatch) (protocol.Conversation, error) {
	return protocol.Conversation{}, errNotYet()
}

// Remove is not written yet.
func (c *Conversations) Remove(_ context.Context, _ Caller, _ protocol.RoomID) error {
	return errNotYet()
}

// List is not written yet.
func (c *Conversations) List(_ context.Context, _ Caller, _ protocol.ConvListQuery) (protocol.ConvList, error) {
	return protocol.ConvList{}, errNotYet()
}

// Directory is not written yet.
func (c *Conversations) Directory(_ context.Context, _ Caller, _ protocol.ConvDirectoryQuery) (protocol.ConvDirectory, error) {
	return protocol.ConvDirectory{}, errNotYet()
}

// Get is not written yet.
func (c *Conversations) Get(_ context.Context, _ Caller, _ protocol.RoomID) (protocol.ConvEntry, error) {
	return protocol.ConvEntry{}, errNotYet()
}

// Open is not written yet.
func (c *Conversations) Open(_ context.Context, _ Caller, _ protocol.RoomID, _ protocol.ConvOpen) (protocol.ConvOpened, error) {
	return protocol.ConvOpened{}, errNotYet()
}

// Sync is not written yet.
func (c *Conversations) Sync(_ context.Context, _ Caller, _ protocol.RoomID, _ protocol.ConvSyncQuery) (protocol.ConvSync, error) {
	return protocol.ConvSync{}, errNotYet()
}

// History is not written yet.
func (c *Conversations) History(_ context.Context, _ Caller, _ protocol.RoomID, _ protocol.ConvHistoryQuery) (protocol.ConvHistory, error) {
	return protocol.ConvHistory{}, errNotYet()
}

// Revisions is not written yet.
func (c *Conversations) Revisions(_ context.Context, _ Caller, _ protocol.RoomID, _ uint64) ([]protocol.ConvRevision, error) {
	return nil, errNotYet()
}

// Members is not written yet.
func (c *Conversations) Members(_ context.Context, _ Caller, _ protocol.RoomID, _ string, _ int) (protocol.ConvPeople, error) {
	return protocol.ConvPeople{}, errNotYet()
}

// Send is not written yet.
func (c *Conversations) Send(_ context.Context, _ Caller, _ protocol.RoomID, _ protocol.ConvSend) (protocol.ConvSent, error) {
	return protocol.ConvSent{}, errNotYet()
}

// Edit is not written yet.
func (c *Conversations) Edit(_ context.Context, _ Caller, _ protocol.RoomID, _ protocol.ConvChange) (protocol.ConvSent, error) {
	return protocol.ConvSent{}, errNotYet()
}

// Delete is not written yet.
func (c *Conversations) Delete(_ context.Context, _ Caller, _ protocol.RoomID, _ protocol.ConvChange) (protocol.ConvSent, error) {
	return protocol.ConvSent{}, errNotYet()
}

// React is not written yet.
func (c *Conversations) React(_ context.Context, _ Caller, _ protocol.RoomID, _ protocol.ConvChange) (protocol.ConvSent, error) {
	return protocol.ConvSent{}, errNotYet()
}

// Pin is not written yet.
func (c *Conversations) Pin(_ context.Context, _ Caller, _ protocol.RoomID, _ protocol.ConvChange) (protocol.ConvSent, error) {
	return protocol.ConvSent{}, errNotYet()
}

// Mark is not written yet.
func (c *Conversations) Mark(_ context.Context, _ Caller, _ protocol.RoomID, _ protocol.ConvMark) (protocol.ConvMarked, error) {
	return protocol.ConvMarked{}, errNotYet()
}

// Join is not written yet.
func (c *Conversations) Join(_ context.Context, _ Caller, _ protocol.RoomID, _ string) (protocol.ConvEntry, error) {
	return protocol.ConvEntry{}, errNotYet()
}

// Leave is not written yet.
func (c *Conversations) Leave(_ context.Context, _ Caller, _ protocol.RoomID) error {
	return errNotYet()
}

// Invite is not written yet.
func (c *Conversations) Invite(_ context.Context, _ Caller, _ protocol.RoomID, _ string) (protocol.ConvPerson, error) {
	return protocol.ConvPerson{}, errNotYet()
}

// SetRole is not written yet.
func (c *Conversations) SetRole(_ context.Context, _ Caller, _ protocol.RoomID, _ protocol.UserID, _ protocol.ConvRole) (protocol.ConvPerson, error) {
	return protocol.ConvPerson{}, errNotYet()
}

// Search is not written yet.
func (c *Conversations) Search(_ context.Context, _ Caller, _ protocol.ConvSearchQuery) (protocol.ConvFound, error) {
	return protocol.ConvFound{}, errNotYet()
}

// Attach is not written yet.
func (c *Conversations) Attach(_ context.Context, _ Caller, _ protocol.RoomID, _ File) error {
	return errNotYet()
}

// File is not written yet.
func (c *Conversations) File(_ context.Context, _ Caller, _ string) (File, error) {
	return File{}, errNotYet()
}

// MayRead is not written yet.
func (c *Conversations) MayRead(_ context.Context, _ Caller, _ protocol.RoomID) error {
	return errNotYet()
}

// MayWrite is not written yet.
func (c *Conversations) MayWrite(_ context.Context, _ Caller, _ protocol.RoomID) error {
	return errNotYet()
}

// Texts is not written yet.
func (c *Conversations) Texts(_ context.Context, _ Caller, _ protocol.RoomID, _ []uint64) ([]protocol.ConvMessage, error) {
	return nil, errNotYet()
}

// Heads is not written yet.
func (c *Conversations) Heads(_ context.Context, _ []protocol.RoomID) (map[protocol.RoomID]uint64, error) {
	return nil, errNotYet()
}

// SyncAll is not written yet.
func (c *Conversations) SyncAll(_ context.Context, _ protocol.RoomID, _ uint64) ([]protocol.ConvEvent, error) {
	return nil, errNotYet()
}

// Mine is not written yet.
func (c *Conversations) Mine(_ context.Context, _ protocol.UserID, _ int) ([]protocol.RoomID, error) {
	return nil, errNotYet()
}

// Renamed is not written yet.
func (c *Conversations) Renamed(_ context.Context, _ protocol.UserID, _ string) error {
	return errNotYet()
}

// Forget is not written yet.
func (c *Conversations) Forget(_ context.Context, _ protocol.UserID) error {
	return errNotYet()
}

// Export is not written yet.
func (c *Conversations) Export(_ context.Context, _ protocol.UserID) (Export, error) {
	return Export{}, errNotYet()
}

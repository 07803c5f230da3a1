package conversations

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/text"
	"github.com/rondo-chat/rondo/protocol"
)

const (
	minKeep = 60                      // seconds
	maxKeep = 10 * 365 * 24 * 60 * 60 // seconds
)

// Create makes a conversation, of which the caller is the owner; of a direct one there is one for each two users for ever, and who asks
// for it again gets it. Errors: bad_request, unauthorized, not_found (the other one), forbidden (guests; one of the two keeps the
// other away; too many conversations), rate_limited, unavailable.
func (c *Conversations) Create(ctx context.Context, who Caller, q protocol.ConvCreate) (protocol.ConvEntry, error) {
	if err := auth.Allowed(who.Principal, auth.ActionConvCreate, auth.Resource{}); err != nil {
		return protocol.ConvEntry{}, err
	}
	switch q.Kind {
	case protocol.ConvDirect:
		return c.createDirect(ctx, who, q)
	case protocol.ConvGroup, protocol.ConvTopic:
		return c.createRoom(ctx, who, q)
	}
	return protocol.ConvEntry{}, errBad("kind: direct, group or topic")
}

func (c *Conversations) createDirect(ctx context.Context, who Caller, q protocol.ConvCreate) (e protocol.ConvEntry, err error) {
	other, err := c.person(ctx, who, q.With)
	if err != nil {
		return e, err
	}
	pair, id := pairOf(who.Identity, other.ID), protocol.RoomID("")
	lookup := func(r Reader) error {
		row, err := r.Direct(pair)
		id = row.ID
		_, err = exists(err)
		return err
	}
	if err := c.read(ctx, "create.look", lookup); err != nil {
		return e, err
	}
	if id != "" {
		return c.Get(ctx, who, id)
	}
	if err := c.limit(ctx, "create", string(who.Identity), c.cfg.Limits.Create); err != nil {
		return e, err
	}
	var events []protocol.ConvEvent
	err = c.write(ctx, "create.direct", func(tx Tx) error {
		events = nil
		if err := lookup(tx); err != nil || id != "" { // the other one was first
			return err
		}
		row := c.newRow(protocol.ConvDirect)
		id, row.Pair, row.Writers = row.ID, pair, protocol.WriteMembers
		events, err = c.found(tx, who, row, protocol.ConvMember, other)
		return err
	})
	if err != nil {
		return e, err
	}
	c.publish(ctx, events)
	return c.Get(ctx, who, id)
}

// person is another user whom the caller may have to do with.
func (c *Conversations) person(ctx context.Context, who Caller, idOrUsername string) (Person, error) {
	if !isWord(idOrUsername) {
		return Person{}, errBad("no user id or username")
	}
	p, err := c.cfg.People.Person(ctx, idOrUsername)
	switch {
	case err != nil:
		return Person{}, err
	case p.ID == who.Identity:
		return Person{}, errBad("this is you")
	case p.Guest:
		return Person{}, errForbidden("guests are in topics only")
	}
	return p, c.blocked(ctx, who.Identity, p.ID)
}

func pairOf(a, b protocol.UserID) string {
	return string(min(a, b)) + " " + string(max(a, b))
}

func (c *Conversations) newRow(kind protocol.ConvKind) Row {
	now := c.now()
	return Row{Conversation: protocol.Conversation{ID: protocol.RoomID("c_" + auth.Random(16)), Kind: kind, Created: now, Active: now}}
}

// found stores a new conversation, with its first numbers: its own, the caller's, the other one's.
func (c *Conversations) found(tx Tx, who Caller, row Row, role protocol.ConvRole, others ...Person) ([]protocol.ConvEvent, error) {
	mine, err := tx.Memberships(who.Identity)
	if err != nil {
		return nil, err
	}
	if countMembers(mine) >= protocol.MaxConversations {
		return nil, errTooMany()
	}
	if err := tx.InsertConversation(row); err != nil {
		return nil, err
	}
	ch, err := c.begin(tx, who, row.ID)
	if err != nil {
		return nil, err
	}
	if err := ch.settings(); err != nil {
		return nil, err
	}
	for _, p := range slices.Concat([]Person{{ID: who.Identity, Name: who.Name}}, others) {
		m := Member{Room: row.ID, ConvPerson: protocol.ConvPerson{ID: p.ID, Name: p.Name, Role: role, Joined: ch.now}}
		if err := ch.person("", &m); err != nil {
			return nil, err
		}
	}
	return ch.end()
}

func countMembers(list []Member) (n int) {
	for _, m := range list {
		if isMember(m.Role) {
			n++
		}
	}
	return n
}

func errTooMany() error { return errForbidden("too many conversations: leave one first") }

func (c *Conversations) createRoom(ctx context.Context, who Caller, q protocol.ConvCreate) (e protocol.ConvEntry, err error) {
	row := c.newRow(q.Kind)
	guests := q.Kind == protocol.ConvTopic
	if q.Guests != nil {
		guests = *q.Guests
	}
	writers := q.Writers
	defaultTo(&writers, protocol.WriteMembers)
	patch := protocol.ConvPatch{Name: &q.Name, About: &q.About, Language: &q.Language, Tags: &q.Tags, Writers: &writers,
		Slow: &q.Slow, Keep: &q.Keep, Guests: &guests, Passcode: &q.Passcode}
	if _, err := c.patch(&row, patch); err != nil {
		return e, err
	}
	if err := c.passable(ctx, who, row); err != nil {
		return e, err
	}
	if err := c.limit(ctx, "create", string(who.Identity), c.cfg.Limits.Create); err != nil {
		return e, err
	}
	var events []protocol.ConvEvent
	err = c.write(ctx, "create", func(tx Tx) (err error) {
		events, err = c.found(tx, who, row, protocol.ConvOwner)
		return err
	})
	if err != nil {
		return e, err
	}
	c.publish(ctx, events)
	return c.Get(ctx, who, row.ID)
}

// passable asks the Moderator about what others will read of a topic or group.
func (c *Conversations) passable(ctx context.Context, who Caller, row Row) error {
	if c.cfg.Moderator == nil {
		return nil
	}
	return c.cfg.Moderator.Check(ctx, who, row.ID, said(row))
}

// said is all text of a topic or group.
func said(row Row) string {
	return strings.Join(append([]string{row.Name, row.About}, row.Tags...), "\n")
}

// patch cleans the patch and applies it, and reports whether that changes anything.
func (c *Conversations) patch(row *Row, p protocol.ConvPatch) (changed bool, err error) {
	before := *row
	for _, f := range []func(*Row, protocol.ConvPatch) error{patchTexts, patchTags, patchRules, c.patchPasscode} {
		if err := f(row, p); err != nil {
			return false, err
		}
	}
	if !slices.Equal(before.Tags, row.Tags) || row.Name != before.Name || row.About != before.About {
		row.Terms = orEmpty(Terms(said(*row)))
		return true, nil
	}
	return row.PasscodeHash != before.PasscodeHash || row.Language != before.Language || row.Writers != before.Writers || row.Slow != before.Slow || row.Keep != before.Keep || row.Guests != before.Guests, nil
}

func patchTexts(row *Row, p protocol.ConvPatch) (err error) {
	if p.Name != nil {
		if row.Name, err = text.RoomName(*p.Name); err != nil {
			return err
		}
		if row.Name == "" {
			return errBad("name: is needed")
		}
	}
	if p.About != nil {
		if row.About = *p.About; row.About != "" {
			if _, err := text.Chat(row.About); err != nil {
				return errBad("about: at most %d characters, without control characters", protocol.MaxAboutChars)
			}
		}
	}
	if p.Language != nil {
		if row.Language = *p.Language; row.Language != "" {
			row.Language, err = text.Language(row.Language)
		}
	}
	return err
}

func patchTags(row *Row, p protocol.ConvPatch) error {
	if p.Tags == nil {
		return nil
	}
	if len(*p.Tags) > protocol.MaxTags {
		return errBad("tags: at most %d", protocol.MaxTags)
	}
	var tags []string
	for _, t := range *p.Tags {
		t, err := text.Tag(t)
		if err != nil {
			return err
		}
		if !slices.Contains(tags, t) {
			tags = append(tags, t)
		}
	}
	row.Tags = tags
	return nil
}

func patchRules(row *Row, p protocol.ConvPatch) error {
	if p.Writers != nil {
		switch *p.Writers {
		case protocol.WriteEveryone, protocol.WriteMembers, protocol.WriteModerators:
		default:
			return errBad("writers: everyone, members or moderators")
		}
		if row.Writers = *p.Writers; row.Writers == protocol.WriteEveryone && row.Kind != protocol.ConvTopic {
			return errBad("writers: everyone is for topics")
		}
	}
	if p.Slow != nil {
		if row.Slow = *p.Slow; row.Slow < 0 || row.Slow > protocol.MaxSlowSeconds {
			return errBad("slow_s: 0 to %d", protocol.MaxSlowSeconds)
		}
	}
	if p.Keep != nil {
		if row.Keep = *p.Keep; row.Keep != 0 && (row.Keep < minKeep || row.Keep > maxKeep) {
			return errBad("retention_s: 0 or %d to %d", minKeep, maxKeep)
		}
	}
	if p.Guests != nil {
		if row.Guests = *p.Guests; row.Guests && row.Kind != protocol.ConvTopic {
			return errBad("guests: are in topics only")
		}
	}
	return nil
}

func (c *Conversations) patchPasscode(row *Row, p protocol.ConvPatch) error {
	switch {
	case p.Passcode == nil:
		return nil
	case len(*p.Passcode) > protocol.MaxPasscodeBytes:
		return errBad("passcode: at most %d bytes", protocol.MaxPasscodeBytes)
	case *p.Passcode == "":
		row.Passcode, row.PasscodeHash = false, ""
		return nil
	case row.Kind != protocol.ConvGroup:
		return errBad("passcode: is for groups")
	}
	row.Passcode, row.PasscodeHash = true, c.passcodeMAC(row.ID, *p.Passcode)
	return nil
}

// passcodeMAC binds the passcode to its conversation, so that equal passcodes of two do not show in the
// record.
func (c *Conversations) passcodeMAC(id protocol.RoomID, passcode string) string {
	h := hmac.New(sha256.New, c.cfg.Key)
	h.Write([]byte("conversation\x00" + string(id) + "\x00" + passcode))
	return hex.EncodeToString(h.Sum(nil))
}

// Update changes settings. Errors: bad_request, unauthorized, not_found, forbidden, rate_limited, what Moderator says, unavailable.
func (c *Conversations) Update(ctx context.Context, who Caller, room protocol.RoomID, p protocol.ConvPatch) (v protocol.Conversation, err error) {
	err = c.change(ctx, order{name: "update", who: who, room: room, limit: "manage", rate: c.cfg.Limits.Manage,
		check: func(s seat) error { return s.mayThen(auth.ActionConvManage, "") },
		ready: func(ctx context.Context, s seat) error {
			if _, err := c.patch(&s.row, p); err != nil {
				return err
			}
			return c.passable(ctx, who, s.row)
		},
		apply: func(ch *change) error {
			changed, err := c.patch(&ch.row, p)
			if err == nil && changed {
				err = ch.settings()
			} else if err == nil {
				ch.row.Seq-- // nothing is drawn
				err = errUnchanged
			}
			v = ch.row.Conversation
			return err
		}})
	if err != nil {
		v = protocol.Conversation{}
	}
	return v, err
}

// Remove takes a group or topic away with all that is in it, for its owner; a topic also for moderators and administrators of the
// service. Errors: unauthorized, not_found, forbidden, rate_limited, unavailable.
func (c *Conversations) Remove(ctx context.Context, who Caller, room protocol.RoomID) error {
	return c.change(ctx, order{name: "remove", who: who, room: room, limit: "manage", rate: c.cfg.Limits.Manage,
		check: func(s seat) error { return s.mayThen(auth.ActionConvRemove, "") },
		apply: (*change).remove})
}

// remove leaves of the conversation one last event.
func (ch *change) remove() error {
	ch.row.Deleted = true
	if err := ch.settings(); err != nil {
		return err
	}
	return ch.tx.RemoveConversation(ch.row.ID)
}

package conversations_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// seatOf is who acts in a row of the tables.
type seatOf string

// stage is a conversation with somebody of every role.
type stage struct {
	*house
	room protocol.RoomID
	as   map[seatOf]conversations.Caller
	said protocol.ConvMessage // by the victim
	mine map[seatOf]uint64    // own messages, of those who could write
	n    int
}

// seats are the callers, in the order of the columns.
func seats() []seatOf {
	return []seatOf{"owner", "moderator", "member", "invited", "left", "banned", "stranger", "guest", "globalmod", "globaladmin", "nobody"}
}

// newStage makes a conversation of the kind; in a direct one owner and member are the two.
func newStage(h *house, kind protocol.ConvKind) *stage {
	s := &stage{house: h, as: map[seatOf]conversations.Caller{}, mine: map[seatOf]uint64{}}
	for _, seat := range seats() {
		s.as[seat] = h.user(string(seat))
	}
	if kind == protocol.ConvDirect { // one for each two
		for _, seat := range []seatOf{"owner", "member"} {
			s.as[seat] = h.user(string(seat) + auth.Random(5))
		}
	}
	s.as["guest"], s.as["nobody"] = h.guest("guest"), conversations.Caller{}
	s.as["globalmod"], s.as["globaladmin"] = h.user("globalmod", auth.RoleModerator), h.user("globaladmin", auth.RoleAdmin)
	for _, v := range []string{"victim", "other", "second", "newcomer"} {
		s.as[seatOf(v)] = h.user(v)
	}
	q := protocol.ConvCreate{Kind: kind}
	if kind == protocol.ConvDirect {
		q.With = s.as["member"].Name
	}
	s.room = h.create(s.as["owner"], q)
	author := seatOf("owner")
	if kind != protocol.ConvDirect {
		s.seat(kind)
		author = "victim"
	}
	s.said = h.send(s.as[author], s.room, "said", "said")
	for _, seat := range []seatOf{"owner", "moderator", "member"} {
		if sent, err := h.Send(h.t.Context(), s.as[seat], s.room, protocol.ConvSend{CID: "mine", Text: "mine"}); err == nil {
			s.mine[seat] = sent.Seq
		}
	}
	return s
}

// seat fills a group or topic.
func (s *stage) seat(kind protocol.ConvKind) {
	ctx, owner := s.t.Context(), s.as["owner"]
	for _, who := range []seatOf{"moderator", "member", "left", "banned", "victim", "other", "second"} {
		if kind == protocol.ConvGroup {
			s.must(second(s.Invite(ctx, owner, s.room, string(who))))
		}
		s.must(second(s.Join(ctx, s.as[who], s.room, "")))
	}
	s.must(second(s.Invite(ctx, owner, s.room, "invited")))
	s.must(second(s.SetRole(ctx, owner, s.room, "u_moderator", protocol.ConvModerator)))
	s.must(second(s.SetRole(ctx, owner, s.room, "u_second", protocol.ConvModerator)))
	s.must(s.Leave(ctx, s.as["left"], s.room))
	s.must(second(s.SetRole(ctx, owner, s.room, "u_banned", protocol.ConvBanned)))
}

func (s *stage) cid() string {
	s.n++
	return fmt.Sprint("x", s.n)
}

// mighty are those whose actions change things for others.
func mighty(seat seatOf) bool {
	return seat == "owner" || seat == "moderator" || strings.HasPrefix(string(seat), "global")
}

// actions are the lines of the tables. Those that change who is what come last.
func actions(writers protocol.ConvWriters) []string {
	if writers != "" {
		return []string{"read", "write", "react", "edit", "attach", "invite"}
	}
	return []string{"read", "sync", "open", "members", "write", "react", "edit", "editother", "revisions", "pin", "invite", "update", "hand", "ban", "unmod", "deleteother", "attach", "join", "remove"}
}

// do does it, and says how that went in one character.
func (s *stage) do(ctx context.Context, seat seatOf, action string) string {
	who, room, seq := s.as[seat], s.room, s.said.Seq
	change := protocol.ConvChange{Seq: seq, Text: s.cid(), Emoji: "👍", On: true}
	mine := change
	if mine.Seq = s.mine[seat]; mine.Seq == 0 {
		mine.Seq = seq
	}
	name := "renamed"
	var err error
	switch action {
	case "read":
		_, err = s.History(ctx, who, room, protocol.ConvHistoryQuery{})
	case "sync":
		_, err = s.Sync(ctx, who, room, protocol.ConvSyncQuery{})
	case "open":
		_, err = s.Open(ctx, who, room, protocol.ConvOpen{})
	case "members":
		_, err = s.Members(ctx, who, room, "", 0)
	case "write":
		var sent protocol.ConvSent
		if sent, err = s.Send(ctx, who, room, protocol.ConvSend{CID: s.cid(), Text: "hello"}); err == nil {
			s.mine[seat] = sent.Seq
		}
	case "react":
		_, err = s.React(ctx, who, room, change)
	case "edit":
		_, err = s.Edit(ctx, who, room, mine)
	case "editother":
		_, err = s.Edit(ctx, who, room, change)
	case "revisions":
		_, err = s.Revisions(ctx, who, room, seq)
	case "pin":
		_, err = s.Pin(ctx, who, room, change)
	case "invite":
		_, err = s.Invite(ctx, who, room, "newcomer")
	case "update":
		_, err = s.Update(ctx, who, room, protocol.ConvPatch{Name: &name})
	case "hand":
		_, err = s.SetRole(ctx, who, room, "u_other", protocol.ConvModerator)
	case "ban":
		_, err = s.SetRole(ctx, who, room, "u_victim", protocol.ConvBanned)
	case "unmod":
		_, err = s.SetRole(ctx, who, room, "u_second", protocol.ConvLeft)
	case "deleteother":
		_, err = s.Delete(ctx, who, room, change)
	case "attach":
		err = s.Attach(ctx, who, room, conversations.File{ConvFile: protocol.ConvFile{ID: "f" + auth.Random(8)}, Stored: "x"})
	case "join":
		_, err = s.Join(ctx, who, room, "")
	case "remove":
		err = s.Remove(ctx, who, room)
	}
	return s.short(err)
}

func (s *stage) short(err error) string {
	switch code := protocol.CodeOf(err); code {
	case "":
		return "+"
	case protocol.CodeUnauthorized, protocol.CodeForbidden, protocol.CodeNotFound, protocol.CodeBadRequest, protocol.CodePasscode:
		return string(code[:1])
	default:
		s.t.Errorf("unexpected error %v", err)
		return "?"
	}
}

// TestAccess is the table of seats × actions for every kind: + yes, f forbidden, n not_found, u unauthorized, p passcode.
func TestAccess(t *testing.T) {
	for name, c := range map[string]struct {
		kind    protocol.ConvKind
		writers protocol.ConvWriters
		want    string // a line for each action: owner moderator member invited left banned stranger guest globalmod globaladmin nobody
	}{
		"direct": {kind: protocol.ConvDirect, want: directTable},
		"group":  {kind: protocol.ConvGroup, want: groupTable},
		"topic":  {kind: protocol.ConvTopic, want: topicTable},
		"open":   {kind: protocol.ConvTopic, writers: protocol.WriteEveryone, want: openTable},
		"closed": {kind: protocol.ConvTopic, writers: protocol.WriteModerators, want: closedTable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, h := map[string]string{}, open(t, nil)
			weak := newStageWriting(h, c.kind, c.writers) // nothing of theirs may change anything for others
			for _, seat := range seats() {
				s := weak
				if mighty(seat) && c.writers == "" || c.kind == protocol.ConvDirect {
					s = newStageWriting(h, c.kind, c.writers)
				}
				for _, action := range actions(c.writers) {
					got[action] += s.do(t.Context(), seat, action)
				}
			}
			for line := range strings.Lines(strings.TrimSpace(c.want)) {
				action, want, _ := strings.Cut(strings.TrimSpace(line), " ")
				if want = strings.TrimSpace(want); got[action] != want {
					t.Errorf("%-11s %s, want %s", action, got[action], want)
				}
				delete(got, action)
			}
			for action, line := range got {
				t.Errorf("%-11s %s: not in the table", action, line)
			}
		})
	}
}

// newStageWriting is newStage where the victim wrote before who may write was changed.
func newStageWriting(h *house, kind protocol.ConvKind, writers protocol.ConvWriters) *stage {
	s := newStage(h, kind)
	if writers != "" {
		s.must(second(s.Update(h.t.Context(), s.as["owner"], s.room, protocol.ConvPatch{Writers: &writers})))
	}
	return s
}

// The tables. owner moderator member invited left banned stranger guest globalmod globaladmin nobody.
const directTable = `
read        +n+nnnnnnnu
sync        +n+nnnnnnnu
open        +n+nnnnnnnu
members     +n+nnnnnnnu
write       +n+nnnnnnnu
react       +n+nnnnnnnu
edit        +n+nnnnnnnu
editother   +nfnnnnnnnu
revisions   +nfnnnnnnnu
pin         +n+nnnnnnnu
invite      fnfnnnnnnnu
update      fnfnnnnnnnu
hand        fnfnnnnnnnu
ban         fnfnnnnnnnu
unmod       fnfnnnnnnnu
deleteother +nfnnnnnnnu
attach      +n+nnnnnnnu
join        +n+nnnnnnnu
remove      fnfnnnnnnnu`

const groupTable = `
read        +++nnnnnnnu
sync        +++nnnnnnnu
open        +++nnnnnnnu
members     +++nnnnnnnu
write       +++nnnnnnnu
react       +++nnnnnnnu
edit        +++nnnnnnnu
editother   fffnnnnnnnu
revisions   ++fnnnnnnnu
pin         ++fnnnnnnnu
invite      +++nnnnnnnu
update      +ffnnnnnnnu
hand        +ffnnnnnnnu
ban         ++fnnnnnnnu
unmod       +ffnnnnnnnu
deleteother ++fnnnnnnnu
attach      +++nnnnnnnu
join        ++++nnnnnnu
remove      +fffnnnnnnu`

const topicTable = `
read        +++++f++++u
sync        +++++f++++u
open        +++++f++++u
members     +++++f++++u
write       +++fffffffu
react       +++fffffffu
edit        +++fffffffu
editother   ffffffffffu
revisions   ++ffffff++u
pin         ++ffffffffu
invite      +++fffffffu
update      +fffffffffu
hand        +fffffffffu
ban         ++ffffff++u
unmod       +fffffff++u
deleteother ++ffffff++u
attach      +++fffffffu
join        +++++f++++u
remove      +fffffff++u`

const openTable = `
read        +++++f++++u
write       +++++f++++u
react       +++++f++++u
edit        +++++f++++u
attach      +++++f++++u
invite      +++++f+f++u`

const closedTable = `
read        +++++f++++u
write       ++ffffffffu
react       +++fffffffu
edit        ++ffffffffu
attach      ++ffffffffu
invite      +++fffffffu`

package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// fill makes a conversation with two messages, the first with everything that may hang on one.
func (h house) fill(t testing.TB, letter string) {
	c := h.group(letter)
	c.Kind, c.Terms = protocol.ConvTopic, []string{h.name + "topic"}
	h.make(t, c)
	m := h.text(letter, "a", 1, "x")
	m.Files = []protocol.ConvFile{{ID: h.name + letter + "1", Name: "n", Type: "t"}, {ID: h.name + letter + "2"}}
	m.Terms = []string{h.name + "term"}
	h.send(t, m, h.text(letter, "b", 2, "y"), h.text(letter, "a", 3, "z"))
	h.write(t, func(tx conversations.Tx) error {
		for _, f := range m.Files {
			if err := tx.PutFile(conversations.File{ConvFile: f, Owner: m.From, Room: m.Room, Seq: 1, Stored: "s" + f.ID, At: 5}); err != nil {
				return err
			}
		}
		if err := tx.React(m.Room, 1, h.user("b"), "👍", true, 1); err != nil {
			return err
		}
		if err := tx.AddRevision(m.Room, 1, 1, protocol.ConvRevision{Text: "old"}); err != nil {
			return err
		}
		if err := tx.PutMember(conversations.Member{Room: m.Room, ConvPerson: protocol.ConvPerson{ID: m.From, Role: protocol.ConvMember}}); err != nil {
			return err
		}
		return tx.Enqueue(conversations.Event{Room: m.Room, Seq: 1, At: 1 << 50})
	})
}

// left says what is left of the first message of a conversation.
func (h house) left(t testing.TB, letter string) string {
	room := h.room(letter)
	var found []string
	note := func(what string, n int, err error) error {
		if n > 0 && err == nil {
			found = append(found, what)
		}
		if err != nil && !isError(err, conversations.ErrNotFound) {
			return err
		}
		return nil
	}
	read(t, h, func(r conversations.Reader) (none struct{}, err error) {
		found = nil
		_, err1 := r.Message(room, 1)
		revisions, err2 := r.Revisions(room, 1)
		reactions, err3 := r.Reactions(room, 1)
		hits, err4 := r.Search(conversations.Search{Terms: []string{h.name + "term"}, Room: room, Limit: 5})
		for _, err := range []error{note("message", 1, err1), note("revisions", len(revisions), err2), note("reactions", len(reactions), err3),
			note("terms", len(hits), err4)} {
			if err != nil {
				return none, err
			}
		}
		return none, nil
	})
	return strings.Join(found, " ")
}

// orphans are the ids of the test's orphans.
func (h house) orphans(t testing.TB, before int64) []string {
	var found []string
	h.write(t, func(tx conversations.Tx) error {
		list, err := tx.Orphans(before, 1000)
		found = nil
		for _, f := range list {
			if strings.HasPrefix(f.ID, h.name) {
				found = append(found, strings.TrimPrefix(f.ID, h.name))
			}
		}
		return err
	})
	slices.Sort(found)
	return found
}

func testRemoveMessages(t *testing.T, h house) {
	h.fill(t, "r")
	h.fill(t, "s")
	same(t, "at first", h.left(t, "r"), "message revisions reactions terms")
	remove := func(upTo uint64, before int64, limit int) (files []string, n int) {
		h.write(t, func(tx conversations.Tx) (err error) {
			files, n, err = tx.RemoveMessages(h.room("r"), upTo, before, limit)
			return err
		})
		return files, n
	}
	for _, in := range []struct {
		upTo   uint64
		before int64
	}{{0, 1 << 50}, {100, 1001}} { // the first is from 1001
		if files, n := remove(in.upTo, in.before, 10); n != 0 || files != nil {
			t.Errorf("RemoveMessages %+v took %d, %v", in, n, files)
		}
	}
	files, n := remove(100, 1003, 1)
	same(t, "RemoveMessages by 1", fmt.Sprint(files, n), fmt.Sprint([]string{h.name + "r1", h.name + "r2"}, 1))
	same(t, "then", h.left(t, "r"), "")
	same(t, "another conversation", h.left(t, "s"), "message revisions reactions terms")
	files, n = remove(100, 1003, 10)
	same(t, "the second", fmt.Sprint(files, n), "[] 1")
	files, n = remove(2, 1<<50, 10)
	same(t, "not the third", fmt.Sprint(files, n), "[] 0")
	same(t, "orphans", h.orphans(t, 0), []string{"r1", "r2"})
}

func testRemoveConversation(t *testing.T, h house) {
	h.fill(t, "r")
	h.fill(t, "s")
	h.write(t, func(tx conversations.Tx) error { return tx.RemoveConversation(h.room("r")) })
	h.write(t, func(tx conversations.Tx) error { return tx.RemoveConversation(h.room("r")) })
	missing(t, h, func(r conversations.Reader) (conversations.Row, error) { return r.Conversation(h.room("r")) })
	missing(t, h, func(r conversations.Reader) (conversations.Member, error) { return r.Member(h.room("r"), h.user("a")) })
	h.make(t, h.group("r")) // what comes after it has nothing of it
	same(t, "left", h.left(t, "r"), "")
	same(t, "messages", len(read(t, h, func(r conversations.Reader) ([]conversations.Message, error) {
		return r.Messages(h.room("r"), conversations.Page{Limit: 10})
	})), 0)
	same(t, "topics", ids(read(t, h, func(r conversations.Reader) ([]conversations.Row, error) {
		return r.Topics(conversations.Directory{Terms: []string{h.name + "topic"}, Limit: 10})
	})), []protocol.RoomID{h.room("s")})
	same(t, "another conversation", h.left(t, "s"), "message revisions reactions terms")
	same(t, "orphans", h.orphans(t, 0), []string{"r1", "r2"})
	events := read(t, h, func(r conversations.Reader) ([]conversations.Event, error) { return r.Untold(1<<60, 1000) })
	same(t, "its outbox", slices.ContainsFunc(events, func(e conversations.Event) bool { return e.Room == h.room("r") }), true)
}

func testFiles(t *testing.T, h house) {
	h.make(t, h.group("r"))
	file := conversations.File{ConvFile: protocol.ConvFile{ID: h.name + "a", Name: odd()[0], Type: "image/png", Size: 1 << 40, Width: 2, Height: 3},
		Owner: h.user("a"), Room: h.room("r"), Stored: "st", At: 10}
	put := func(f conversations.File) { h.write(t, func(tx conversations.Tx) error { return tx.PutFile(f) }) }
	get := func(id string) func(conversations.Reader) (conversations.File, error) {
		return func(r conversations.Reader) (conversations.File, error) { return r.File(id) }
	}
	put(file)
	same(t, "File", read(t, h, get(file.ID)), file)
	missing(t, h, get(file.ID+" "))
	same(t, "an upload of now", h.orphans(t, 10), []string(nil))
	same(t, "an old upload", h.orphans(t, 11), []string{"a"})

	m := h.text("r", "a", 1, "")
	m.Files = []protocol.ConvFile{file.ConvFile}
	file.Seq = 1
	h.write(t, func(tx conversations.Tx) error { // a message takes it; the file may come first
		if err := tx.PutFile(file); err != nil {
			return err
		}
		return tx.InsertMessage(m)
	})
	same(t, "File", read(t, h, get(file.ID)), file)
	same(t, "of a message", h.orphans(t, 100), []string(nil))
	second := file
	second.ID = h.name + "b"
	put(second) // or after the message
	same(t, "of a message", h.orphans(t, 100), []string(nil))
	m.Text, m.Rev = "edited", 2
	h.write(t, func(tx conversations.Tx) error { return tx.UpdateMessage(m) })
	same(t, "of an edited message", h.orphans(t, 100), []string(nil))
	m.Deleted, m.Files = 9, nil
	h.write(t, func(tx conversations.Tx) error { return tx.UpdateMessage(m) })
	same(t, "of a deleted message", h.orphans(t, 0), []string{"a", "b"})
	second.Seq, second.ID = 77, h.name+"c"
	put(second)
	same(t, "of no message", h.orphans(t, 0), []string{"a", "b", "c"})
	h.write(t, func(tx conversations.Tx) error {
		list, err := tx.Orphans(0, 1)
		same(t, "Orphans by 1", len(list), 1)
		return err
	})
	h.write(t, func(tx conversations.Tx) error { return tx.DeleteFile(file.ID) })
	h.write(t, func(tx conversations.Tx) error { return tx.DeleteFile(file.ID) })
	missing(t, h, get(file.ID))
	same(t, "after DeleteFile", h.orphans(t, 0), []string{"b", "c"})
}

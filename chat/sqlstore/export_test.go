package sqlstore

import (
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/protocol"
)

// DB is the store's database.
func (s *Store) DB() *database.DB { return s.db }

// Question is a statement that must not read the whole of a table.
type Question struct {
	Name, Text string
	Args       []any
}

// Questions are those that grow with a conversation or with the number of conversations.
func Questions(engine database.Engine, room protocol.RoomID, user protocol.UserID) []Question {
	page := func(p conversations.Page) query { p.Limit = 50; return pageQuery(engine, room, p) }
	after := conversations.Position{At: 5000, ID: "c_x"}
	var list []Question
	for name, q := range map[string]query{
		"newest": page(conversations.Page{}), "before": page(conversations.Page{Before: 5000}), "after": page(conversations.Page{After: 5000}),
		"thread": page(conversations.Page{Thread: 7, Before: 5000}), "thread after": page(conversations.Page{Thread: 7, After: 6000}),
		"author": page(conversations.Page{Author: user, Before: 5000}),
		"pinned": page(conversations.Page{Pinned: true}), "pins": pinsQuery(room), "changed": changedQuery(room, 5000, 50),
		"unread": unreadQuery(room, user, 9900, 100), "last": lastQuery([]protocol.RoomID{room, "c_0001"}),
		"subscribed": subscribedQuery(conversations.Subscribed{Room: "c_0001", Seq: 5, Author: user}),
		"inbox":      inboxQuery(user, after, 50), "topics": topicsQuery(engine, conversations.Directory{After: after, Limit: 50}),
	} {
		list = append(list, Question{name, q.text, q.args})
	}
	return list
}

// Tables are those with rows of conversations.
func Tables() []string {
	return []string{"chat_conversations", "chat_members", "chat_messages", "chat_revisions", "chat_reactions", "chat_files", "chat_outbox", "chat_letters",
		"chat_terms", "chat_topics"}
}

package sqlstore

import (
	"slices"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/protocol"
)

const selectSubscription = "SELECT s.id, s.user_id, s.session_id, s.endpoint, s.p256dh, s.auth, s.created_at, s.failed FROM chat_subscriptions s"

func scanSubscription(row database.Scanner) (conversations.Subscription, error) {
	var s conversations.Subscription
	err := row.Scan(&s.ID, &s.User, &s.Session, &s.Endpoint, &s.Keys.P256dh, &s.Keys.Auth, &s.Created, &s.Failed)
	return s, err
}

// Subscriptions implements conversations.Reader.
func (r *reader) Subscriptions(user protocol.UserID) ([]conversations.Subscription, error) {
	return run(r, query{selectSubscription + " WHERE s.user_id = ? ORDER BY s.created_at, s.id", []any{string(user)}}, scanSubscription)
}

// Subscribed implements conversations.Reader.
func (r *reader) Subscribed(q conversations.Subscribed) ([]conversations.Subscription, error) {
	return run(r, subscribedQuery(q), scanSubscription)
}

func subscribedQuery(q conversations.Subscribed) query {
	ask := query{selectSubscription + " JOIN chat_members m ON m.user_id = s.user_id WHERE m.room_id = ? AND m.user_id <> ? AND m.seen < ?",
		[]any{string(q.Room), string(q.Author), number(q.Seq)}}
	ask.add(" AND m.role IN ('owner', 'moderator', 'member')")
	if len(q.Among) > 0 {
		ask.add(" AND m.user_id IN ("+database.Marks(len(q.Among))+")", values(q.Among)...)
	}
	return ask
}

// PutSubscription implements conversations.Tx.
func (t *txn) PutSubscription(s conversations.Subscription) error {
	return t.tx.Upsert("chat_subscriptions", []string{"id"}, []string{"id", "user_id", "session_id", "endpoint", "p256dh", "auth", "created_at", "failed"},
		s.ID, string(s.User), s.Session, s.Endpoint, s.Keys.P256dh, s.Keys.Auth, s.Created, s.Failed)
}

// DeleteSubscription implements conversations.Tx.
func (t *txn) DeleteSubscription(id string) error {
	return t.run("DELETE FROM chat_subscriptions WHERE id = ?", id)
}

// SetFailed implements conversations.Tx.
func (t *txn) SetFailed(id string, failed int) error {
	return t.run("UPDATE chat_subscriptions SET failed = ? WHERE id = ?", failed, id)
}

// EndSubscriptions implements conversations.Tx.
func (t *txn) EndSubscriptions(user protocol.UserID, sessions []string) error {
	if user != "" {
		if err := t.run("DELETE FROM chat_subscriptions WHERE user_id = ?", string(user)); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(sessions, chunk) {
		if err := t.run("DELETE FROM chat_subscriptions WHERE session_id IN ("+database.Marks(len(part))+")", values(part)...); err != nil {
			return err
		}
	}
	return nil
}

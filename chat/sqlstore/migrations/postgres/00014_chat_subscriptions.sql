-- +goose Up
CREATE TABLE chat_subscriptions (
  id TEXT COLLATE "C" NOT NULL,
  user_id TEXT COLLATE "C" NOT NULL,
  session_id TEXT COLLATE "C" NOT NULL,
  endpoint TEXT NOT NULL,
  p256dh TEXT NOT NULL,
  auth TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  PRIMARY KEY (id)
);
CREATE INDEX chat_subscriptions_user_id ON chat_subscriptions (user_id);
CREATE INDEX chat_subscriptions_session_id ON chat_subscriptions (session_id);

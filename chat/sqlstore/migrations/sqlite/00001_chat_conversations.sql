-- +goose Up
CREATE TABLE chat_conversations (
  id TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  about TEXT NOT NULL,
  language TEXT NOT NULL,
  tags TEXT NOT NULL,
  writers TEXT NOT NULL,
  slow_s BIGINT NOT NULL,
  keep_s BIGINT NOT NULL,
  guests BOOLEAN NOT NULL,
  members BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  rev BIGINT NOT NULL,
  oldest BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  active_at BIGINT NOT NULL,
  is_deleted BOOLEAN NOT NULL,
  pair TEXT,
  passcode_hash TEXT NOT NULL,
  purged BIGINT NOT NULL,
  PRIMARY KEY (id)
);
CREATE UNIQUE INDEX chat_conversations_pair ON chat_conversations (pair);
CREATE INDEX chat_conversations_kind_is_deleted_active_at_id ON chat_conversations (kind, is_deleted, active_at, id);
CREATE INDEX chat_conversations_keep_s_id ON chat_conversations (keep_s, id) WHERE keep_s > 0;

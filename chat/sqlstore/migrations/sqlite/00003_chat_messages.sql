-- +goose Up
CREATE TABLE chat_messages (
  room TEXT NOT NULL,
  seq BIGINT NOT NULL,
  rev BIGINT NOT NULL,
  author TEXT,
  name TEXT NOT NULL,
  cid TEXT NOT NULL,
  body TEXT NOT NULL,
  reply_to BIGINT NOT NULL,
  thread BIGINT NOT NULL,
  replies BIGINT NOT NULL,
  mentions TEXT NOT NULL,
  files TEXT NOT NULL,
  reactions TEXT NOT NULL,
  is_pinned BOOLEAN NOT NULL,
  sent_at BIGINT NOT NULL,
  edited_at BIGINT NOT NULL,
  deleted_at BIGINT NOT NULL,
  PRIMARY KEY (room, seq)
);
CREATE UNIQUE INDEX chat_messages_room_author_cid ON chat_messages (room, author, cid);
CREATE INDEX chat_messages_room_rev_seq ON chat_messages (room, rev, seq);
CREATE INDEX chat_messages_author_room_seq ON chat_messages (author, room, seq);
CREATE INDEX chat_messages_room_thread_seq ON chat_messages (room, thread, seq) WHERE thread > 0;
CREATE INDEX chat_messages_room_is_pinned_seq ON chat_messages (room, is_pinned, seq) WHERE is_pinned = TRUE;

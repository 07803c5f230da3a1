-- +goose Up
CREATE TABLE chat_messages (
  room_id TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  rev BIGINT NOT NULL,
  author TEXT COLLATE "C",
  name TEXT NOT NULL,
  cid TEXT COLLATE "C" NOT NULL,
  content TEXT NOT NULL,
  reply_to BIGINT NOT NULL,
  thread BIGINT NOT NULL,
  replies BIGINT NOT NULL,
  mentions TEXT NOT NULL,
  files TEXT NOT NULL,
  reactions TEXT NOT NULL,
  is_pinned BOOLEAN NOT NULL,
  inserted_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT NOT NULL,
  PRIMARY KEY (room_id, seq)
);
CREATE UNIQUE INDEX chat_messages_room_id_author_cid ON chat_messages (room_id, author, cid);
CREATE INDEX chat_messages_room_id_rev_seq ON chat_messages (room_id, rev, seq);
CREATE INDEX chat_messages_author_room_id_seq ON chat_messages (author, room_id, seq);
CREATE INDEX chat_messages_room_id_thread_seq ON chat_messages (room_id, thread, seq) WHERE thread > 0;
CREATE INDEX chat_messages_room_id_is_pinned_seq ON chat_messages (room_id, is_pinned, seq) WHERE is_pinned = TRUE;

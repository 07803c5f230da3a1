-- +goose Up
CREATE TABLE chat_revisions (
  room_id TEXT NOT NULL,
  seq BIGINT NOT NULL,
  rev BIGINT NOT NULL,
  content TEXT NOT NULL,
  written_at BIGINT NOT NULL,
  PRIMARY KEY (room_id, seq, rev)
);

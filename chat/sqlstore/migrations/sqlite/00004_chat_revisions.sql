-- +goose Up
CREATE TABLE chat_revisions (
  room TEXT NOT NULL,
  seq BIGINT NOT NULL,
  rev BIGINT NOT NULL,
  body TEXT NOT NULL,
  written_at BIGINT NOT NULL,
  PRIMARY KEY (room, seq, rev)
);

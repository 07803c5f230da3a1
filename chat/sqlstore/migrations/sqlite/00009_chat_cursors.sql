-- +goose Up
CREATE TABLE chat_cursors (
  sink TEXT NOT NULL,
  pos BIGINT NOT NULL,
  tries BIGINT NOT NULL,
  next_at BIGINT NOT NULL,
  error TEXT NOT NULL,
  PRIMARY KEY (sink)
);

-- +goose Up
CREATE TABLE chat_outbox (
  room TEXT NOT NULL,
  seq BIGINT NOT NULL,
  pos BIGINT,
  happened_at BIGINT NOT NULL,
  payload BLOB NOT NULL,
  is_told BOOLEAN NOT NULL,
  PRIMARY KEY (room, seq)
);
CREATE UNIQUE INDEX chat_outbox_pos ON chat_outbox (pos);
CREATE INDEX chat_outbox_room_seq ON chat_outbox (room, seq) WHERE pos IS NULL;
CREATE INDEX chat_outbox_is_told_happened_at ON chat_outbox (is_told, happened_at);

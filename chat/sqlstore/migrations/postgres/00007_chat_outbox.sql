-- +goose Up
CREATE TABLE chat_outbox (
  room_id TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  pos BIGINT,
  happened_at BIGINT NOT NULL,
  payload BYTEA NOT NULL,
  is_told BOOLEAN NOT NULL,
  PRIMARY KEY (room_id, seq)
);
CREATE UNIQUE INDEX chat_outbox_pos ON chat_outbox (pos);
CREATE INDEX chat_outbox_room_id_seq ON chat_outbox (room_id, seq) WHERE pos IS NULL;
CREATE INDEX chat_outbox_is_told_happened_at ON chat_outbox (is_told, happened_at);

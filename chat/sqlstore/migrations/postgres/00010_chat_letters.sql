-- +goose Up
CREATE TABLE chat_letters (
  sink TEXT COLLATE "C" NOT NULL,
  room_id TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  pos BIGINT NOT NULL,
  happened_at BIGINT NOT NULL,
  payload BYTEA NOT NULL,
  reason TEXT NOT NULL,
  died_at BIGINT NOT NULL,
  PRIMARY KEY (sink, room_id, seq)
);
CREATE INDEX chat_letters_sink_pos ON chat_letters (sink, pos);

-- +goose Up
CREATE TABLE chat_outbox (
  room_id VARBINARY(128) NOT NULL COMMENT 'text',
  seq BIGINT NOT NULL,
  pos BIGINT,
  happened_at BIGINT NOT NULL,
  payload LONGBLOB NOT NULL,
  is_told BOOLEAN NOT NULL,
  PRIMARY KEY (room_id, seq),
  UNIQUE INDEX chat_outbox_pos (pos),
  INDEX chat_outbox_is_told_happened_at (is_told, happened_at)
);

-- +goose Up
CREATE TABLE chat_letters (
  sink VARBINARY(128) NOT NULL COMMENT 'text',
  room_id VARBINARY(128) NOT NULL COMMENT 'text',
  seq BIGINT NOT NULL,
  pos BIGINT NOT NULL,
  happened_at BIGINT NOT NULL,
  payload LONGBLOB NOT NULL,
  reason MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  died_at BIGINT NOT NULL,
  PRIMARY KEY (sink, room_id, seq),
  INDEX chat_letters_sink_pos (sink, pos)
);

-- +goose Up
CREATE TABLE chat_revisions (
  room_id VARBINARY(128) NOT NULL COMMENT 'text',
  seq BIGINT NOT NULL,
  rev BIGINT NOT NULL,
  content MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  written_at BIGINT NOT NULL,
  PRIMARY KEY (room_id, seq, rev)
);

-- +goose Up
CREATE TABLE chat_cursors (
  sink VARBINARY(128) NOT NULL COMMENT 'text',
  pos BIGINT NOT NULL,
  tries BIGINT NOT NULL,
  next_at BIGINT NOT NULL,
  error MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (sink)
);

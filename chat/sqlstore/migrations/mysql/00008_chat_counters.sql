-- +goose Up
CREATE TABLE chat_counters (
  name VARBINARY(64) NOT NULL COMMENT 'text',
  value BIGINT NOT NULL,
  PRIMARY KEY (name)
);

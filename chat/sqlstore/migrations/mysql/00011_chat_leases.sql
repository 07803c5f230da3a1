-- +goose Up
CREATE TABLE chat_leases (
  name VARBINARY(128) NOT NULL COMMENT 'text',
  node VARBINARY(128) NOT NULL COMMENT 'text',
  until_at BIGINT NOT NULL,
  PRIMARY KEY (name)
);

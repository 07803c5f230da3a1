-- +goose Up
CREATE TABLE chat_leases (
  name TEXT NOT NULL,
  node TEXT NOT NULL,
  until_at BIGINT NOT NULL,
  PRIMARY KEY (name)
);

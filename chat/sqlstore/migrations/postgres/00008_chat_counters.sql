-- +goose Up
CREATE TABLE chat_counters (
  name TEXT COLLATE "C" NOT NULL,
  value BIGINT NOT NULL,
  PRIMARY KEY (name)
);

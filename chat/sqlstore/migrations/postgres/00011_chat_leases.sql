-- +goose Up
CREATE TABLE chat_leases (
  name TEXT COLLATE "C" NOT NULL,
  node TEXT COLLATE "C" NOT NULL,
  until_at BIGINT NOT NULL,
  PRIMARY KEY (name)
);

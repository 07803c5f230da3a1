-- +goose Up
CREATE TABLE revocations (
  session_id TEXT NOT NULL,
  sequence BIGINT NOT NULL,
  until_at BIGINT NOT NULL,
  PRIMARY KEY (session_id)
);
CREATE INDEX revocations_sequence ON revocations (sequence);
CREATE INDEX revocations_until_at ON revocations (until_at);

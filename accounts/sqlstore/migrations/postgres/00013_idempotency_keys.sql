-- +goose Up
CREATE TABLE idempotency_keys (
  id TEXT NOT NULL,
  request TEXT NOT NULL,
  status BIGINT NOT NULL,
  body BYTEA NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (id)
);
CREATE INDEX idempotency_keys_expires_at ON idempotency_keys (expires_at);

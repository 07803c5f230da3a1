-- +goose Up
CREATE TABLE refresh_tokens (
  hash TEXT NOT NULL,
  session_id TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  superseded_at BIGINT NOT NULL,
  PRIMARY KEY (hash)
);
CREATE INDEX refresh_tokens_session_id ON refresh_tokens (session_id);

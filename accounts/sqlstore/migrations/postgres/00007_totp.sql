-- +goose Up
CREATE TABLE totp (
  user_id TEXT NOT NULL,
  secret TEXT NOT NULL,
  is_confirmed BOOLEAN NOT NULL,
  last_step BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (user_id)
);

-- +goose Up
CREATE TABLE idempotency_keys (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  request VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  status BIGINT NOT NULL,
  body LONGBLOB NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (id),
  INDEX idempotency_keys_expires_at (expires_at)
);

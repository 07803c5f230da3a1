-- +goose Up
CREATE TABLE idempotency_keys (
  id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  request VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  status BIGINT NOT NULL,
  body LONGBLOB NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (id),
  INDEX idempotency_keys_expires_at (expires_at)
);

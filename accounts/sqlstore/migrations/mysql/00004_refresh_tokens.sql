-- +goose Up
CREATE TABLE refresh_tokens (
  hash VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  session_id VARCHAR(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  created_at BIGINT NOT NULL,
  superseded_at BIGINT NOT NULL,
  PRIMARY KEY (hash),
  INDEX refresh_tokens_session_id (session_id)
);

-- +goose Up
CREATE TABLE revocations (
  session_id VARCHAR(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  sequence BIGINT NOT NULL,
  until_at BIGINT NOT NULL,
  PRIMARY KEY (session_id),
  INDEX revocations_sequence (sequence),
  INDEX revocations_until_at (until_at)
);

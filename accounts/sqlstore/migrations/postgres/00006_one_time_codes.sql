-- +goose Up
CREATE TABLE one_time_codes (
  purpose TEXT NOT NULL,
  subject TEXT NOT NULL,
  hash TEXT NOT NULL,
  tries BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (purpose, subject)
);
CREATE INDEX one_time_codes_expires_at ON one_time_codes (expires_at);

-- +goose Up
CREATE TABLE users (
  id TEXT NOT NULL,
  identity TEXT NOT NULL,
  email TEXT NOT NULL,
  email_key TEXT NOT NULL,
  username TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  name TEXT NOT NULL,
  avatar TEXT NOT NULL,
  languages TEXT NOT NULL,
  interests TEXT NOT NULL,
  language TEXT NOT NULL,
  roles TEXT NOT NULL,
  is_active BOOLEAN NOT NULL,
  is_disabled BOOLEAN NOT NULL,
  version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  last_login_at BIGINT NOT NULL,
  PRIMARY KEY (id)
);
CREATE UNIQUE INDEX users_identity ON users (identity);
CREATE UNIQUE INDEX users_email_key ON users (email_key);
CREATE UNIQUE INDEX users_username ON users (username);
CREATE INDEX users_created_at ON users (created_at);

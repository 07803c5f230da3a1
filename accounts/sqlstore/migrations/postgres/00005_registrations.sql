-- +goose Up
CREATE TABLE registrations (
  id TEXT NOT NULL,
  email TEXT NOT NULL,
  email_key TEXT NOT NULL,
  username TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  name TEXT NOT NULL,
  language TEXT NOT NULL,
  guest TEXT NOT NULL,
  device_id TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (id)
);
CREATE UNIQUE INDEX registrations_email_key_device_id ON registrations (email_key, device_id);
CREATE UNIQUE INDEX registrations_username ON registrations (username);
CREATE INDEX registrations_expires_at ON registrations (expires_at);

-- +goose Up
CREATE TABLE passkeys (
  id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  credential_id BLOB NOT NULL,
  public_key BLOB NOT NULL,
  sign_count BIGINT NOT NULL,
  transports TEXT NOT NULL,
  aaguid BLOB NOT NULL,
  is_backup_eligible BOOLEAN NOT NULL,
  is_backed_up BOOLEAN NOT NULL,
  name TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  last_used_at BIGINT NOT NULL,
  PRIMARY KEY (id)
);
CREATE UNIQUE INDEX passkeys_credential_id ON passkeys (credential_id);
CREATE INDEX passkeys_user_id ON passkeys (user_id);

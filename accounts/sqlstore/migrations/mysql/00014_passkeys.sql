-- +goose Up
CREATE TABLE passkeys (
  id VARCHAR(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  user_id VARCHAR(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  credential_id VARBINARY(1023) NOT NULL,
  public_key BLOB NOT NULL,
  sign_count BIGINT NOT NULL,
  transports VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  aaguid VARBINARY(16) NOT NULL,
  is_backup_eligible BOOLEAN NOT NULL,
  is_backed_up BOOLEAN NOT NULL,
  name VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  created_at BIGINT NOT NULL,
  last_used_at BIGINT NOT NULL,
  PRIMARY KEY (id),
  UNIQUE INDEX passkeys_credential_id (credential_id),
  INDEX passkeys_user_id (user_id)
);

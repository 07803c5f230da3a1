-- +goose Up
CREATE TABLE signing_keys (
  generation BIGINT NOT NULL,
  kid VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  alg VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  created_at BIGINT NOT NULL,
  begins_at BIGINT NOT NULL,
  sealed LONGBLOB NOT NULL,
  retired_at BIGINT NOT NULL,
  PRIMARY KEY (generation),
  UNIQUE INDEX signing_keys_kid (kid)
);

-- +goose Up
CREATE TABLE signing_keys (
  generation BIGINT NOT NULL,
  kid TEXT NOT NULL,
  alg TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  begins_at BIGINT NOT NULL,
  sealed BYTEA NOT NULL,
  retired_at BIGINT NOT NULL,
  PRIMARY KEY (generation)
);
CREATE UNIQUE INDEX signing_keys_kid ON signing_keys (kid);

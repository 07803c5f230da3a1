-- +goose Up
CREATE TABLE departures (
  identity TEXT NOT NULL,
  left_at BIGINT NOT NULL,
  PRIMARY KEY (identity)
);

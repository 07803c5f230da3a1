-- +goose Up
CREATE TABLE departures (
  identity VARCHAR(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  left_at BIGINT NOT NULL,
  PRIMARY KEY (identity)
);

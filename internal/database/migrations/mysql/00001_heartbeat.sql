-- +goose Up
CREATE TABLE rondo_heartbeat (node VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, beat BIGINT NOT NULL);

-- +goose Up
CREATE TABLE rondo_heartbeat (node TEXT PRIMARY KEY, beat BIGINT NOT NULL);

-- +goose Up
CREATE TABLE audit_log (
  id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  event TEXT NOT NULL,
  detail TEXT NOT NULL,
  device_id TEXT NOT NULL,
  addr TEXT NOT NULL,
  happened_at BIGINT NOT NULL,
  PRIMARY KEY (id)
);
CREATE INDEX audit_log_user_id ON audit_log (user_id);
CREATE INDEX audit_log_happened_at ON audit_log (happened_at);

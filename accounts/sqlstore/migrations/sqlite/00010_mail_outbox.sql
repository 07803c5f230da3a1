-- +goose Up
CREATE TABLE mail_outbox (
  id TEXT NOT NULL,
  cause TEXT NOT NULL,
  template TEXT NOT NULL,
  body BLOB NOT NULL,
  created_at BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  attempts BIGINT NOT NULL,
  lease TEXT NOT NULL,
  died_at BIGINT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (id)
);
CREATE UNIQUE INDEX mail_outbox_cause ON mail_outbox (cause);
CREATE INDEX mail_outbox_died_at_due_at ON mail_outbox (died_at, due_at);

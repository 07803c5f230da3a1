-- +goose Up
CREATE TABLE chat_subscriptions (
  id VARBINARY(128) NOT NULL COMMENT 'text',
  user_id VARBINARY(128) NOT NULL COMMENT 'text',
  session_id VARBINARY(128) NOT NULL COMMENT 'text',
  endpoint VARCHAR(2048) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  p256dh VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  auth VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  created_at BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  PRIMARY KEY (id),
  INDEX chat_subscriptions_user_id (user_id),
  INDEX chat_subscriptions_session_id (session_id)
);

-- +goose Up
CREATE TABLE user_devices (
  id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  device_info TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  last_seen_at BIGINT NOT NULL,
  is_active BOOLEAN NOT NULL,
  PRIMARY KEY (id)
);
CREATE UNIQUE INDEX user_devices_user_id_device_id ON user_devices (user_id, device_id);

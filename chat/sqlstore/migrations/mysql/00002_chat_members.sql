-- +goose Up
CREATE TABLE chat_members (
  room_id VARBINARY(128) NOT NULL COMMENT 'text',
  user_id VARBINARY(128) NOT NULL COMMENT 'text',
  name VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  is_guest BOOLEAN NOT NULL,
  role VARBINARY(16) NOT NULL COMMENT 'text',
  joined_at BIGINT NOT NULL,
  rev BIGINT NOT NULL,
  delivered BIGINT NOT NULL,
  seen BIGINT NOT NULL,
  wrote_at BIGINT NOT NULL,
  PRIMARY KEY (room_id, user_id),
  INDEX chat_members_user_id_role (user_id, role),
  INDEX chat_members_room_id_joined_at_user_id (room_id, joined_at, user_id),
  INDEX chat_members_room_id_role_joined_at (room_id, role, joined_at),
  INDEX chat_members_room_id_rev_user_id (room_id, rev, user_id),
  INDEX chat_members_is_guest_joined_at (is_guest, joined_at)
);

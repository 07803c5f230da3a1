-- +goose Up
CREATE TABLE chat_members (
  room_id TEXT COLLATE "C" NOT NULL,
  user_id TEXT COLLATE "C" NOT NULL,
  name TEXT NOT NULL,
  is_guest BOOLEAN NOT NULL,
  role TEXT COLLATE "C" NOT NULL,
  joined_at BIGINT NOT NULL,
  rev BIGINT NOT NULL,
  delivered BIGINT NOT NULL,
  seen BIGINT NOT NULL,
  wrote_at BIGINT NOT NULL,
  PRIMARY KEY (room_id, user_id)
);
CREATE INDEX chat_members_user_id_role ON chat_members (user_id, role);
CREATE INDEX chat_members_room_id_joined_at_user_id ON chat_members (room_id, joined_at, user_id);
CREATE INDEX chat_members_room_id_role_joined_at ON chat_members (room_id, role, joined_at);
CREATE INDEX chat_members_room_id_rev_user_id ON chat_members (room_id, rev, user_id);
CREATE INDEX chat_members_is_guest_joined_at ON chat_members (is_guest, joined_at) WHERE is_guest = TRUE;

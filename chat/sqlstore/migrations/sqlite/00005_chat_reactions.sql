-- +goose Up
CREATE TABLE chat_reactions (
  room_id TEXT NOT NULL,
  seq BIGINT NOT NULL,
  emoji TEXT NOT NULL,
  user_id TEXT NOT NULL,
  reacted_at BIGINT NOT NULL,
  PRIMARY KEY (room_id, seq, emoji, user_id)
);
CREATE INDEX chat_reactions_user_id_room_id_seq ON chat_reactions (user_id, room_id, seq);

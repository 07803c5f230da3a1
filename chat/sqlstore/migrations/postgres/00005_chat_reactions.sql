-- +goose Up
CREATE TABLE chat_reactions (
  room TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  emoji TEXT COLLATE "C" NOT NULL,
  user_id TEXT COLLATE "C" NOT NULL,
  reacted_at BIGINT NOT NULL,
  PRIMARY KEY (room, seq, emoji, user_id)
);
CREATE INDEX chat_reactions_user_id_room_seq ON chat_reactions (user_id, room, seq);

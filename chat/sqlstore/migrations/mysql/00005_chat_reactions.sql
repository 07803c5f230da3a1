-- +goose Up
CREATE TABLE chat_reactions (
  room_id VARBINARY(128) NOT NULL COMMENT 'text',
  seq BIGINT NOT NULL,
  emoji VARBINARY(255) NOT NULL COMMENT 'text',
  user_id VARBINARY(128) NOT NULL COMMENT 'text',
  reacted_at BIGINT NOT NULL,
  PRIMARY KEY (room_id, seq, emoji, user_id),
  INDEX chat_reactions_user_id_room_id_seq (user_id, room_id, seq)
);

-- +goose Up
CREATE TABLE chat_terms (
  id BIGINT NOT NULL,
  room VARBINARY(128) NOT NULL COMMENT 'text',
  seq BIGINT NOT NULL,
  words MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (id),
  UNIQUE INDEX chat_terms_room_seq (room, seq),
  FULLTEXT INDEX chat_terms_words (words)
);

-- +goose Up
CREATE TABLE chat_topics (
  id BIGINT NOT NULL,
  room_id VARBINARY(128) NOT NULL COMMENT 'text',
  words MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (id),
  UNIQUE INDEX chat_topics_room_id (room_id),
  FULLTEXT INDEX chat_topics_words (words)
);

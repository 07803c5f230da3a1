-- +goose Up
CREATE TABLE chat_topics (
  id BIGINT NOT NULL,
  room VARBINARY(128) NOT NULL COMMENT 'text',
  words MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (id),
  UNIQUE INDEX chat_topics_room (room),
  FULLTEXT INDEX chat_topics_words (words)
);

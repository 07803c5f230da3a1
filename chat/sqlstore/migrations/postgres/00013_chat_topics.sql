-- +goose Up
CREATE TABLE chat_topics (
  id BIGINT NOT NULL,
  room TEXT COLLATE "C" NOT NULL,
  words TEXT NOT NULL,
  PRIMARY KEY (id)
);
CREATE UNIQUE INDEX chat_topics_room ON chat_topics (room);
CREATE INDEX chat_topics_words ON chat_topics USING GIN (to_tsvector('simple', words));

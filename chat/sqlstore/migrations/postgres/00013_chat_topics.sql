-- +goose Up
CREATE TABLE chat_topics (
  id BIGINT NOT NULL,
  room_id TEXT COLLATE "C" NOT NULL,
  words TEXT NOT NULL,
  vector TSVECTOR GENERATED ALWAYS AS (to_tsvector('simple', words)) STORED,
  PRIMARY KEY (id)
);
CREATE UNIQUE INDEX chat_topics_room_id ON chat_topics (room_id);
CREATE INDEX chat_topics_vector ON chat_topics USING GIN (vector);

-- +goose Up
CREATE TABLE chat_terms (
  id BIGINT NOT NULL,
  room_id TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  words TEXT NOT NULL,
  vector TSVECTOR GENERATED ALWAYS AS (to_tsvector('simple', words)) STORED,
  PRIMARY KEY (id)
);
CREATE UNIQUE INDEX chat_terms_room_id_seq ON chat_terms (room_id, seq);
CREATE INDEX chat_terms_vector ON chat_terms USING GIN (vector);

-- +goose Up
CREATE TABLE chat_files (
  id TEXT COLLATE "C" NOT NULL,
  owner TEXT COLLATE "C" NOT NULL,
  room_id TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  name TEXT NOT NULL,
  type TEXT NOT NULL,
  size BIGINT NOT NULL,
  width BIGINT NOT NULL,
  height BIGINT NOT NULL,
  stored TEXT NOT NULL,
  uploaded_at BIGINT NOT NULL,
  is_free BOOLEAN NOT NULL,
  PRIMARY KEY (id)
);
CREATE INDEX chat_files_room_id_seq ON chat_files (room_id, seq);
CREATE INDEX chat_files_is_free_uploaded_at ON chat_files (is_free, uploaded_at) WHERE is_free = TRUE;

-- +goose Up
CREATE TABLE chat_terms (
  id INTEGER NOT NULL,
  room_id TEXT NOT NULL,
  seq BIGINT NOT NULL,
  words TEXT NOT NULL,
  PRIMARY KEY (id)
);
CREATE UNIQUE INDEX chat_terms_room_id_seq ON chat_terms (room_id, seq);
CREATE VIRTUAL TABLE chat_terms_fts USING fts5 (words, content='chat_terms', content_rowid='id', tokenize='ascii', detail=none);
INSERT INTO chat_terms_fts (chat_terms_fts, rank) VALUES ('secure-delete', 1);
-- +goose StatementBegin
CREATE TRIGGER chat_terms_insert AFTER INSERT ON chat_terms BEGIN
  INSERT INTO chat_terms_fts (rowid, words) VALUES (new.id, new.words);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER chat_terms_delete AFTER DELETE ON chat_terms BEGIN
  INSERT INTO chat_terms_fts (chat_terms_fts, rowid, words) VALUES ('delete', old.id, old.words);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER chat_terms_update AFTER UPDATE ON chat_terms BEGIN
  INSERT INTO chat_terms_fts (chat_terms_fts, rowid, words) VALUES ('delete', old.id, old.words);
  INSERT INTO chat_terms_fts (rowid, words) VALUES (new.id, new.words);
END;
-- +goose StatementEnd

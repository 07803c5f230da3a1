-- +goose Up
CREATE TABLE chat_topics (
  id INTEGER NOT NULL,
  room_id TEXT NOT NULL,
  words TEXT NOT NULL,
  PRIMARY KEY (id)
);
CREATE UNIQUE INDEX chat_topics_room_id ON chat_topics (room_id);
CREATE VIRTUAL TABLE chat_topics_fts USING fts5 (words, content='chat_topics', content_rowid='id', tokenize='ascii', detail=none);
INSERT INTO chat_topics_fts (chat_topics_fts, rank) VALUES ('secure-delete', 1);
-- +goose StatementBegin
CREATE TRIGGER chat_topics_insert AFTER INSERT ON chat_topics BEGIN
  INSERT INTO chat_topics_fts (rowid, words) VALUES (new.id, new.words);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER chat_topics_delete AFTER DELETE ON chat_topics BEGIN
  INSERT INTO chat_topics_fts (chat_topics_fts, rowid, words) VALUES ('delete', old.id, old.words);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER chat_topics_update AFTER UPDATE ON chat_topics BEGIN
  INSERT INTO chat_topics_fts (chat_topics_fts, rowid, words) VALUES ('delete', old.id, old.words);
  INSERT INTO chat_topics_fts (rowid, words) VALUES (new.id, new.words);
END;
-- +goose StatementEnd

-- +goose Up
CREATE TABLE chat_files (
  id VARBINARY(128) NOT NULL COMMENT 'text',
  owner VARBINARY(128) NOT NULL COMMENT 'text',
  room_id VARBINARY(128) NOT NULL COMMENT 'text',
  seq BIGINT NOT NULL,
  name VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  type VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  size BIGINT NOT NULL,
  width BIGINT NOT NULL,
  height BIGINT NOT NULL,
  stored VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  uploaded_at BIGINT NOT NULL,
  is_free BOOLEAN NOT NULL,
  PRIMARY KEY (id),
  INDEX chat_files_room_id_seq (room_id, seq),
  INDEX chat_files_is_free_uploaded_at (is_free, uploaded_at)
);

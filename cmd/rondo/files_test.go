package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/server"
)

// TestWhereFilesAre: in the data folder of one node, in the folder that several share, in S3, and nowhere where nodes would have other files each.
func TestWhereFilesAre(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if err := os.WriteFile(keys, []byte("access\nsecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	one := filepath.Join(dir, "one")
	if err := os.WriteFile(one, []byte("access"), 0o600); err != nil {
		t.Fatal(err)
	}
	const nobody = "http://127.0.0.1:1/bucket" // which is an error of the log, not of the start
	for name, c := range map[string]struct {
		cfg        config
		kept       bool
		made, fail string
		log        string
	}{
		"one node":             {cfg: config{}, kept: true, made: "files"},
		"a folder":             {cfg: config{Files: filesConfig{Dir: filepath.Join(dir, "shared")}, Redis: "redis://x"}, kept: true, made: "shared"},
		"several nodes":        {cfg: config{Redis: "redis://x"}, log: "files cannot be uploaded"},
		"S3":                   {cfg: config{Files: filesConfig{S3: nobody, KeyFile: keys}}, kept: true, log: "does not work"},
		"S3 with one word":     {cfg: config{Files: filesConfig{S3: nobody, KeyFile: one}}, fail: "two words"},
		"S3 without its file":  {cfg: config{Files: filesConfig{S3: nobody, KeyFile: keys + "x"}}, fail: "files-s3-key-file"},
		"S3 that is no URL":    {cfg: config{Files: filesConfig{S3: "bucket", KeyFile: keys}}, fail: "files-s3"},
		"a folder that is one": {cfg: config{Files: filesConfig{Dir: filepath.Join(keys, "x")}}, fail: "files-dir"},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.DataDir = dir
			var log bytes.Buffer
			n := &node{cfg: &c.cfg, log: slog.New(slog.NewTextHandler(&log, nil))}
			t.Cleanup(n.close)
			var got server.Conversations
			err := n.openFiles(t.Context(), &got)
			if (err != nil) != (c.fail != "") || err != nil && !strings.Contains(err.Error(), c.fail) {
				t.Fatalf("%v", err)
			}
			if (got.Blobs != nil) != (c.kept) || !strings.Contains(log.String(), c.log) || strings.Contains(log.String(), "secret") {
				t.Errorf("%v, log %s", got.Blobs, &log)
			}
			if _, err := os.Stat(filepath.Join(dir, c.made)); err != nil {
				t.Error(err)
			}
		})
	}
}

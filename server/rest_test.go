package server_test

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/chat/files"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/server"
)

// raw makes a request with bytes in and out.
func (w *town) raw(at int, method, path, bearer string, in []byte) (int, http.Header, []byte) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.nodes[at].web.URL+path, bytes.NewReader(in))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	r.Header.Set("Content-Type", "application/octet-stream")
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, res.Header, out
}

// TestAPictureInAConversation: what is uploaded and sent over REST at one node is seen live at another one, and served
// there to who may read the message, as long as they may.
func TestAPictureInAConversation(t *testing.T) {
	dir := t.TempDir()
	w := newTalkingTown(t, 2, func(_ int, cfg *server.Config) {
		disk, err := files.OpenDisk(filepath.Join(dir, "files"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = disk.Close() })
		cfg.Conversations.Blobs, cfg.Conversations.Spool = disk, filepath.Join(dir, "spool")
	})
	ann, bo, eve := w.talker(t, 0, "ann"), w.talker(t, 1, "bob"), w.talker(t, 1, "eve")
	room := ann.create(protocol.ConvCreate{Kind: protocol.ConvGroup, Name: "Holidays"})
	path := "/api/v1/conversations/" + string(room)
	if status := w.send(nil, 0, "POST", path+"/members", ann.AccessToken, map[string]any{"user": "bob"}, nil); status != 200 {
		t.Fatalf("invite: %d", status)
	}
	if status := w.send(nil, 1, "POST", path+"/join", bo.AccessToken, map[string]any{}, nil); status != 200 {
		t.Fatalf("join: %d", status)
	}
	view, annView := bo.view(room), ann.view(room)
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 40, 30))); err != nil {
		t.Fatal(err)
	}
	var f protocol.ConvFile
	status, _, answer := w.raw(0, "POST", path+"/files?name=beach.PNG", ann.AccessToken, picture.Bytes())
	if status != 200 {
		t.Fatalf("upload: %d %s", status, answer)
	}
	if err := json.Unmarshal(answer, &f); err != nil {
		t.Fatal(err)
	}
	if status := w.send(nil, 0, "POST", path+"/messages", ann.AccessToken, map[string]any{"cid": "1", "text": "the beach", "files": []string{f.ID}}, nil); status != 200 {
		t.Fatalf("send: %d", status)
	}
	shows(t, "Bo sees it", view, "the beach")
	messages, _ := view.Messages()
	if len(messages[0].Files) != 1 || messages[0].Files[0] != f || f.Type != "image/png" || f.Width != 40 || f.Name != "beach.png" {
		t.Fatalf("files %+v", messages[0].Files)
	}
	get := func(p *talker, at int) int {
		status, header, body := w.raw(at, "GET", "/api/v1/files/"+f.ID, p.AccessToken, nil)
		if status == 200 && (int64(len(body)) != f.Size || header.Get("Content-Type") != "image/png" || !strings.Contains(header.Get("Content-Security-Policy"), "sandbox")) {
			t.Errorf("%d bytes, %v", len(body), header)
		}
		return status
	}
	for p, want := range map[*talker]int{ann: 200, bo: 200, eve: 404} {
		if got := get(p, 1); got != want {
			t.Errorf("%s: %d, want %d", p.User.Name, got, want)
		}
	}
	// What was read over REST the other sees live.
	seq := messages[0].Seq
	if status := w.send(nil, 1, "PUT", path+"/marks", bo.AccessToken, map[string]any{"delivered": seq, "read": seq}, nil); status != 200 {
		t.Fatalf("mark: %d", status)
	}
	testenv.Eventually(t, 10*time.Second, func() bool { return annView.People()[bo.User.ID].Read == seq }, "Ann sees that it was read")
	if status := w.send(nil, 0, "PATCH", path+"/members/"+string(bo.User.ID), ann.AccessToken, map[string]any{"role": "banned"}, nil); status != 200 {
		t.Fatalf("ban: %d", status)
	}
	if got := get(bo, 1); got != 404 {
		t.Errorf("after the ban: %d", got)
	}
}

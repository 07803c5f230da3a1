package api

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/files"
	chatsql "github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// nobodyReads is a conversations.Publisher.
type nobodyReads struct{}

func (nobodyReads) Publish(protocol.ConvEvent) error { return nil }

// neighbours is a conversations.People over accounts.
type neighbours struct{ *accounts.Accounts }

func (n neighbours) Person(ctx context.Context, who string) (conversations.Person, error) {
	u, err := n.Find(ctx, who)
	return conversations.Person{ID: u.Identity, Name: u.Name}, err
}

func (neighbours) Blocked(context.Context, protocol.UserID, protocol.UserID) (bool, error) {
	return false, nil
}

// converse gives the interface real conversations and files, which limits count if they are not nil.
func (w *whole) converse(t *testing.T, c *Config, real *accounts.Accounts, limits ratelimit.Limiter) {
	t.Helper()
	store := chatsql.New(w.db)
	if err := store.Migrate(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	disk, err := files.OpenDisk(filepath.Join(t.TempDir(), "files"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Close() })
	if limits == nil {
		limits = unlimited{}
	}
	talks, err := conversations.New(conversations.Config{
		Store: store, People: neighbours{real}, Publisher: nobodyReads{}, Node: "n", Key: bytes.Repeat([]byte{9}, 32), Files: disk, Limiter: limits, Logger: c.Logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := files.New(files.Config{Blobs: disk, Conversations: talks, Spool: filepath.Join(t.TempDir(), "spool"), Limiter: limits, Logger: c.Logger})
	if err != nil {
		t.Fatal(err)
	}
	c.Conversations, c.Files = talks, f
	c.Translate = func(ctx context.Context, who conversations.Caller, room protocol.RoomID, in protocol.ConvTranslate) (protocol.ConvTranslated, error) {
		_, err := talks.Texts(ctx, who, room, in.Messages)
		return protocol.ConvTranslated{To: in.To, Texts: []protocol.ConvTranslation{}}, err
	}
}

// found makes a conversation, with its message 4 or so, and returns both.
func (w *whole) found(by member, in object) (room protocol.RoomID, seq uint64) {
	w.t.Helper()
	var e protocol.ConvEntry
	w.wants(http.StatusOK, &e, "POST", "/api/v1/conversations", in, by.AccessToken)
	return e.ID, w.says(by.AccessToken, e.ID, object{"cid": "first", "text": "a secret of theirs"})
}

// says sends a message.
func (w *whole) says(token string, room protocol.RoomID, in object) uint64 {
	w.t.Helper()
	var s protocol.ConvSent
	w.wants(http.StatusOK, &s, "POST", "/api/v1/conversations/"+string(room)+"/messages", in, token)
	return s.Message.Seq
}

// uploads uploads a picture.
func (w *whole) uploads(token string, room protocol.RoomID, data []byte) *httptest.ResponseRecorder {
	w.t.Helper()
	r := w.request("POST", "/api/v1/conversations/"+string(room)+"/files?name=a.png", string(data), token)
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	return rec
}

func (w *whole) file(token string, room protocol.RoomID) string {
	w.t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 4, 4))); err != nil {
		w.t.Fatal(err)
	}
	rec := w.uploads(token, room, b.Bytes())
	id, found := strings.CutPrefix(rec.Body.String(), `{"id":"`)
	if rec.Code != http.StatusOK || !found {
		w.t.Fatalf("upload: %d %s", rec.Code, rec.Body)
	}
	return id[:28]
}

// joins invites somebody into a group, who comes.
func (w *whole) joins(owner, who member, room protocol.RoomID) {
	w.t.Helper()
	path := "/api/v1/conversations/" + string(room)
	w.wants(http.StatusOK, nil, "POST", path+"/members", object{"user": who.name}, owner.AccessToken)
	w.wants(http.StatusOK, nil, "POST", path+"/join", object{}, who.AccessToken)
}

func (w *whole) role(owner, who member, room protocol.RoomID, role protocol.ConvRole) {
	w.t.Helper()
	w.wants(http.StatusOK, nil, "PATCH", fmt.Sprintf("/api/v1/conversations/%s/members/%s", room, who.User.ID), object{"role": role}, owner.AccessToken)
}

// target is what somebody reaches for.
type target struct {
	room protocol.RoomID
	seq  uint64
	user protocol.UserID
	file string
}

// nobodys is a target that nobody has.
func nobodys() target {
	return target{"c_zzzzzzzzzzzzzzzzzzzzzzzzzz", 2, "u_zzzzzzzzzzzzzzzzzzzzzzzzzz", "f_zzzzzzzzzzzzzzzzzzzzzzzzzz"}
}

// reach asks a route about a target, with the document's example as body.
func (w *whole) reach(o operation, at target, token string) (int, string) {
	w.t.Helper()
	path, text := w.example(o)
	path = strings.NewReplacer(
		"{conversation}", string(at.room), "c_abcdefghijklmnopqrstuvwxyz", string(at.room), "/messages/9", fmt.Sprintf("/messages/%d", at.seq), "u_bbbbbbbbbbbbbbbbbbbbbbbbbb", string(at.user), fileID, at.file,
	).Replace(path)
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, w.request(o.method, path, text, token))
	return rec.Code, rec.Body.String()
}

// kept is all that is stored of conversations, but for what is counted.
func (w *whole) keptTalks() string {
	var all []string
	for table, rows := range w.dump() {
		if strings.HasPrefix(table, "chat_") {
			all = append(all, table+"\n"+strings.Join(rows, "\n"))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// TestIDORInConversations: every route of conversations, about a group and a direct conversation, by everybody who is not in it:
// a stranger, a moderator and an administrator of the service, who left, who was banned, a guest, and nobody. The answer
// is that of ids that nobody has, and nothing changes.
func TestIDORInConversations(t *testing.T) {
	w := newWhole(t)
	ann, bo, eve := w.join("ann"), w.join("bob"), w.join("eve")
	gone, banned := w.join("gone"), w.join("banned")
	group, said := w.found(ann, object{"kind": "group", "name": "Secrets"})
	for _, m := range []member{bo, gone, banned} {
		w.joins(ann, m, group)
	}
	path := "/api/v1/conversations/" + string(group)
	w.wants(http.StatusNoContent, nil, "POST", path+"/leave", nil, gone.AccessToken)
	w.role(ann, banned, group, protocol.ConvBanned)
	picture := w.file(ann.AccessToken, group)
	w.says(ann.AccessToken, group, object{"cid": "2", "text": "", "files": []string{picture}})
	direct, saidThere := w.found(ann, object{"kind": "direct", "with": "bob"})
	draft := w.file(ann.AccessToken, direct) // in no message yet
	targets := map[string]target{
		"a group": {group, said, bo.User.ID, picture}, "a direct conversation": {direct, saidThere, bo.User.ID, draft},
		"a message of the other one": {direct, said, ann.User.ID, picture}, "capitals": {protocol.RoomID(strings.ToUpper(string(group))), said, bo.User.ID, strings.ToUpper(picture)},
	}
	callers := map[string]string{
		"a stranger": eve.AccessToken, "who left": gone.AccessToken, "who was banned": banned.AccessToken, "a moderator": w.join("mod", "moderator").AccessToken,
		"an administrator": w.join("adm", "admin").AccessToken, "a guest": w.guests.Issue("g_aaaaaaaaaaaaaaaaaaaaaaaaaa", w.cfg.Now()), "nobody": "",
	}
	before, tried := w.keptTalks(), 0
	known := ids()
	for _, route := range Routes() {
		if known[route.Name()] != inConversation {
			continue
		}
		o := w.operationOf(route.Name())
		for who, token := range callers {
			status, text := w.reach(o, nobodys(), token)
			if want := map[bool]int{true: http.StatusUnauthorized, false: http.StatusNotFound}[token == ""]; status != want {
				t.Errorf("%s by %s of what nobody has: %d %s", route.Name(), who, status, text)
			}
			for what, at := range targets {
				tried++
				if s, b := w.reach(o, at, token); s != status || b != text {
					t.Errorf("%s by %s, %s: %d %s, of what nobody has: %d %s", route.Name(), who, what, s, b, status, text)
				}
			}
		}
		if now := w.keptTalks(); now != before {
			t.Fatalf("%s changed something:\n%s\n--\n%s", route.Name(), before, now)
		}
	}
	if tried < 500 {
		t.Errorf("only %d requests", tried)
	}
	for _, token := range callers { // nor by searching, or in a list
		for _, path := range []string{"/api/v1/search?text=secret", "/api/v1/search?text=secret&conversation=" + string(group), "/api/v1/search?text=secret&author=" + string(ann.User.ID), "/api/v1/topics?text=Secrets", "/api/v1/conversations"} {
			if got := w.send("GET", path, nil, token); strings.Contains(got.Body.String(), "secret of theirs") || strings.Contains(got.Body.String(), string(group)) {
				t.Errorf("%s shows %s", path, got.Body)
			}
		}
	}
	if s, _ := w.reach(w.operationOf("GET /api/v1/files/{file}"), targets["a group"], bo.AccessToken); s != http.StatusOK {
		t.Errorf("who is in it: %d", s)
	}
}

// TestBansInTopics: who was banned from a public topic reads and changes nothing of it, nor a file that they had seen before.
func TestBansInTopics(t *testing.T) {
	w := newWhole(t)
	ann, eve := w.join("ann"), w.join("eve")
	topic, said := w.found(ann, object{"kind": "topic", "name": "Jazz", "writers": "everyone"})
	picture := w.file(ann.AccessToken, topic)
	w.says(ann.AccessToken, topic, object{"cid": "2", "files": []string{picture}})
	guest := w.guests.Issue("g_aaaaaaaaaaaaaaaaaaaaaaaaaa", w.cfg.Now())
	download := w.operationOf("GET /api/v1/files/{file}")
	at := target{topic, said, ann.User.ID, picture}
	for who, token := range map[string]string{"a reader": eve.AccessToken, "a guest": guest} {
		if s, b := w.reach(download, at, token); s != http.StatusOK {
			t.Errorf("%s: %d %s", who, s, b)
		}
		w.says(token, topic, object{"cid": "1", "text": "hello"})
	}
	w.role(ann, eve, topic, protocol.ConvBanned)
	w.wants(http.StatusOK, nil, "PATCH", "/api/v1/conversations/"+string(topic)+"/members/g_aaaaaaaaaaaaaaaaaaaaaaaaaa", object{"role": "banned"}, ann.AccessToken)
	before, known := w.keptTalks(), ids()
	for _, route := range Routes() {
		if known[route.Name()] != inConversation {
			continue
		}
		for who, token := range map[string]string{"a banned reader": eve.AccessToken, "a banned guest": guest} {
			if s, b := w.reach(w.operationOf(route.Name()), at, token); s != http.StatusForbidden && s != http.StatusNotFound || strings.Contains(b, "secret of theirs") {
				t.Errorf("%s by %s: %d %s", route.Name(), who, s, b)
			}
		}
		if now := w.keptTalks(); now != before {
			t.Fatalf("%s changed something:\n%s\n--\n%s", route.Name(), before, now)
		}
	}
}

// TestForgedReferences: what a message refers to must be the author's to refer to: own uploads for this conversation, once,
// and messages that are there.
func TestForgedReferences(t *testing.T) {
	w := newWhole(t)
	ann, bo := w.join("ann"), w.join("bob")
	topic, said := w.found(ann, object{"kind": "topic", "name": "Jazz", "writers": "everyone"})
	other, _ := w.found(ann, object{"kind": "group", "name": "Secrets"})
	w.wants(http.StatusOK, nil, "POST", "/api/v1/conversations/"+string(topic)+"/join", object{}, bo.AccessToken)
	anns, elsewhere, used := w.file(ann.AccessToken, topic), w.file(ann.AccessToken, other), w.file(ann.AccessToken, topic)
	w.says(ann.AccessToken, topic, object{"cid": "u", "files": []string{used}})
	path := "/api/v1/conversations/" + string(topic) + "/messages"
	for name, c := range map[string]struct {
		by   member
		body object
	}{
		"another's upload":               {bo, object{"cid": "1", "files": []string{anns}}},
		"another's file":                 {bo, object{"cid": "2", "files": []string{used}}},
		"an own file of another message": {ann, object{"cid": "3", "files": []string{used}}},
		"one for another conversation":   {ann, object{"cid": "4", "files": []string{elsewhere}}},
		"the same one twice":             {ann, object{"cid": "5", "files": []string{anns, anns}}},
		"no file at all":                 {ann, object{"cid": "6", "files": []string{"f_zzzzzzzzzzzzzzzzzzzzzzzzzz"}}},
		"a path":                         {ann, object{"cid": "7", "files": []string{"../../etc/passwd"}}},
		"eleven":                         {ann, object{"cid": "8", "files": strings.Split(strings.Repeat(anns+",", 10)+anns, ",")}},
		"a message that is not there":    {bo, object{"cid": "9", "text": "x", "reply_to": 999}},
		"a change that is no message":    {bo, object{"cid": "10", "text": "x", "reply_to": 1}},
		"a thread of nothing":            {bo, object{"cid": "11", "text": "x", "thread": true}},
		"nothing at all":                 {bo, object{"cid": "12"}},
	} {
		if got := w.send("POST", path, c.body, c.by.AccessToken); got.Code != http.StatusBadRequest && got.Code != http.StatusNotFound {
			t.Errorf("%s: %d %s", name, got.Code, got.Body)
		}
	}
	for _, method := range []string{"PATCH", "DELETE"} { // in another's name
		var body any
		if method == "PATCH" {
			body = object{"text": "what Ann never said"}
		}
		if got := w.send(method, fmt.Sprintf("%s/%d", path, said), body, bo.AccessToken); got.Code != http.StatusForbidden && got.Code != http.StatusNotFound {
			t.Errorf("%s of another's message: %d %s", method, got.Code, got.Body)
		}
	}
	// A mark ahead of the conversation, or one of a number that is none, leads nowhere.
	var m protocol.ConvMarked
	w.wants(http.StatusOK, &m, "PUT", "/api/v1/conversations/"+string(topic)+"/marks", object{"read": 1 << 50, "delivered": 1 << 50}, bo.AccessToken)
	var h protocol.ConvHistory
	w.wants(http.StatusOK, &h, "GET", path, nil, bo.AccessToken)
	if m.Read > h.Seq || m.Delivered > h.Seq || len(h.Messages) != 2 || h.Messages[0].From != ann.User.ID || h.Messages[0].Text != "a secret of theirs" {
		t.Errorf("marks %+v, history %+v", m, h)
	}
}

// bombs are texts that cost much where they are matched, cleaned or measured carelessly.
func bombs() map[string]string {
	return map[string]string{
		"nested groups": strings.Repeat("(a+)+", 500) + "!", "stars": strings.Repeat("*", 4000), "quotes": strings.Repeat(`"a`, 2000), "operators": strings.Repeat("a OR b AND NOT (c NEAR d) ", 150), "brackets": strings.Repeat("(", 2000) + strings.Repeat(")", 2000),
		"marks on one letter": "a" + strings.Repeat("\u0301", 1900), "joiners": strings.Repeat("👩\u200d", 550), "one word": strings.Repeat("a", 4000), "many words": strings.Repeat("a ", 2000), "percent": strings.Repeat("%_", 2000), "backslashes": strings.Repeat(`\`, 4000),
		"flags": strings.Repeat("🇩", 990), "Arabic ligature": strings.Repeat("ﷺ", 1300), "Hangul": strings.Repeat("\u1100\u1161\u11a8", 440), "Chinese": strings.Repeat("你好", 660), "turns": strings.Repeat("\u202e\u2066", 660), "spaces": "a" + strings.Repeat(" ", 3990) + "b", "mentions": strings.Repeat("@bob ", 800),
	}
}

// bombTime is far above what one of them takes, and far below what a careless one would.
const bombTime = 5 * time.Second

// TestTextBombs: hostile texts in search, directory, messages, names, tags and emoji are answered soon, by the client's mistake or
// as text, on all databases.
func TestTextBombs(t *testing.T) {
	onDatabases(t, func(t *testing.T, w *whole) {
		ann := w.join("ann")
		w.join("bob")
		topic, said := w.found(ann, object{"kind": "topic", "name": "Jazz", "writers": "everyone"})
		path := "/api/v1/conversations/" + string(topic)
		for name, text := range bombs() {
			short := strings.ToValidUTF8(text[:min(len(text), 60)], "")
			for _, c := range []struct {
				method, path string
				body         any
			}{
				{"GET", query("/api/v1/search", "text", text), nil}, {"GET", query("/api/v1/search", "text", short), nil}, {"GET", query("/api/v1/topics", "text", text), nil}, {"GET", query("/api/v1/topics", "tag", short), nil},
				{"POST", path + "/messages", object{"cid": name, "text": text}}, {"PATCH", fmt.Sprintf("%s/messages/%d", path, said), object{"text": text}},
				{"PUT", fmt.Sprintf("%s/messages/%d/reactions/%s", path, said, url.PathEscape(short)), nil}, {"PUT", fmt.Sprintf("%s/messages/%d/reactions/%s", path, said, url.PathEscape(text)), nil},
				{"PATCH", path, object{"name": short, "about": text, "tags": []string{short}}},
			} {
				start := time.Now()
				got := w.send(c.method, c.path, c.body, ann.AccessToken)
				if took := time.Since(start); got.Code >= 500 || took > bombTime {
					t.Errorf("%s, %s %.60s: %d after %v: %s", name, c.method, c.path, got.Code, took, got.Body)
				}
			}
		}
		w.says(ann.AccessToken, topic, object{"cid": "after", "text": "and on it goes"})
	})
}

// TestFloods: who sends, edits, reacts, searches, uploads or makes conversations without end is told rate_limited and when to
// come back; others go on meanwhile.
func TestFloods(t *testing.T) {
	limits := frozen{at: time.Now(), sets: map[ratelimit.Rate]*ratelimit.Keyed{}}
	w := newWhole(t)
	real := w.cfg.Accounts.(*accounts.Accounts)
	w.converse(t, &w.cfg, real, limits)
	ann, bo := w.join("ann"), w.join("bob")
	topic, said := w.found(ann, object{"kind": "topic", "name": "Jazz", "writers": "everyone"})
	path := "/api/v1/conversations/" + string(topic)
	w.wants(http.StatusOK, nil, "POST", path+"/join", object{}, bo.AccessToken)
	message := fmt.Sprintf("%s/messages/%d", path, said)
	picture := []byte("no picture, but a file")
	for what, ask := range map[string]func(i int, by member) *httptest.ResponseRecorder{
		"messages": func(i int, by member) *httptest.ResponseRecorder {
			return w.send("POST", path+"/messages", object{"cid": fmt.Sprint(i), "text": "x"}, by.AccessToken)
		},
		"reactions": func(_ int, by member) *httptest.ResponseRecorder {
			return w.send("PUT", message+"/reactions/%F0%9F%91%8D", nil, by.AccessToken)
		},
		"searches": func(_ int, by member) *httptest.ResponseRecorder {
			return w.send("GET", "/api/v1/search?text=secret", nil, by.AccessToken)
		},
		"uploads": func(_ int, by member) *httptest.ResponseRecorder { return w.uploads(by.AccessToken, topic, picture) },
		"topics": func(i int, by member) *httptest.ResponseRecorder {
			return w.send("POST", "/api/v1/conversations", object{"kind": "topic", "name": fmt.Sprint("T", i)}, by.AccessToken)
		},
	} {
		refused := false
		for i := range 300 {
			got := ask(i, ann)
			if got.Code == http.StatusTooManyRequests {
				refused = got.Header().Get("Retry-After") != "" && strings.Contains(got.Body.String(), `"rate_limited"`)
				break
			}
			if got.Code != http.StatusOK {
				t.Errorf("%s, %d: %d %s", what, i, got.Code, got.Body)
				break
			}
		}
		if !refused {
			t.Errorf("a flood of %s is never refused", what)
		}
		if got := ask(1000, bo); got.Code != http.StatusOK {
			t.Errorf("%s of somebody else meanwhile: %d %s", what, got.Code, got.Body)
		}
	}
}

// query makes a path with a parameter.
func query(path, name, value string) string { return path + "?" + url.Values{name: {value}}.Encode() }

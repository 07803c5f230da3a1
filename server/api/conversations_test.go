package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/protocol"
)

const guestID protocol.UserID = "g_aaaaaaaaaaaaaaaaaaaaaaaaaa"

const oneRoom = "/api/v1/conversations/" + string(roomID)

// TestGuestsTokens: a guest's token serves for conversations only, and not any more when the guest has an account: the
// identity is the account's then.
func TestGuestsTokens(t *testing.T) {
	b := newBench(t)
	token := b.guests.Issue(guestID, time.Now())
	if w := b.do(b.request("GET", oneRoom, "", token)); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if calls := b.accounts.took(); strings.Join(calls, "|") != "Get "+string(roomID)+" "+string(guestID) {
		t.Errorf("asked %q", calls)
	}
	bad := map[string]string{
		"forged": token[:len(token)-2] + "AA", "over": b.guests.Issue(guestID, time.Now().Add(-2*time.Hour)), "none": "", "a ticket": b.cfg.Tickets.Issue(auth.Claims{Identity: annID, Session: "s", Expires: time.Now().Add(time.Minute)}, time.Now()),
	}
	b.accounts.users[guestID] = b.accounts.users[annID]
	bad["a guest who has registered"] = token
	for name, token := range bad {
		if w := b.do(b.request("GET", oneRoom, "", token)); w.Code != 401 || len(b.accounts.took()) > 0 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	delete(b.accounts.users, guestID)
	b.accounts.fail = protocol.Errorf(protocol.CodeUnavailable, "later")
	if w := b.do(b.request("GET", oneRoom, "", token)); w.Code != 503 || len(b.accounts.took()) > 0 {
		t.Errorf("while the accounts do not answer: %d", w.Code)
	}
}

// TestCallersName: others see the account's name, whatever the request says.
func TestCallersName(t *testing.T) {
	b := newBench(t)
	var names []string
	b.cfg.Conversations = named{newTalks(b.accounts), &names}
	for _, token := range []string{b.token(annID), b.guests.Issue(guestID, time.Now())} {
		if w := b.do(b.request("POST", oneRoom+"/messages?name=Eve&from="+string(boID), `{"cid":"1","text":"x"}`, token)); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if got := strings.Join(names, "|"); got != "Name of "+string(annID)+"|Guest" {
		t.Errorf("names %q", got)
	}
}

// TestForgedFields: an author, a conversation, a number or a role that a body names is refused, on every
// route, and nothing is asked.
func TestForgedFields(t *testing.T) {
	b := newBench(t)
	for path, body := range map[string]string{
		"POST " + oneRoom + "/messages":                         `{"cid":"1","text":"x",`,
		"PATCH " + oneRoom + "/messages/9":                      `{"text":"x",`,
		"PUT " + oneRoom + "/messages/9/pin":                    `{`,
		"PUT " + oneRoom + "/messages/9/reactions/%F0%9F%91%8D": `{`,
		"PUT " + oneRoom + "/marks":                             `{"read":9,`,
		"POST " + oneRoom + "/join":                             `{`,
		"POST " + oneRoom + "/members":                          `{"user":"bob",`,
		"PATCH " + oneRoom + "/members/" + string(boID):         `{"role":"member",`,
		"POST /api/v1/conversations":                            `{"kind":"topic","name":"x",`,
		"PATCH " + oneRoom:                                      `{"name":"x",`,
		"POST " + oneRoom + "/translations":                     `{"messages":[9],"to":"de",`,
	} {
		for _, field := range []string{
			`"from":"` + string(boID) + `"`, `"author":"u_x"`, `"user_id":"u_x"`, `"room":"c_x"`, `"conversation":"c_x"`, `"seq":1`, `"rev":1`, `"id":"c_x"`, `"at":1`, `"by":"u_x"`, `"owner":"u_x"`, `"pinned":true`, `"deleted":true`, `"emoji":"x"`, `"on":false`, `"members":1`, `"guest":true`,
		} {
			method, where, _ := strings.Cut(path, " ")
			if w := b.do(b.request(method, where, body+field+"}", b.token(annID))); w.Code != 400 {
				t.Errorf("%s with %s: %d", path, field, w.Code)
			}
		}
	}
	if calls := b.accounts.took(); len(calls) > 0 {
		t.Errorf("asked %q", calls)
	}
}

// TestPathsOfConversations: what is no id, number or parameter is refused before anything is asked; what is one arrives as
// it was meant.
func TestPathsOfConversations(t *testing.T) {
	b := newBench(t)
	for path, want := range map[string]int{
		"/api/v1/conversations/x": 404, "/api/v1/conversations/c_": 404, "/api/v1/conversations/c_..%2F..%2Fetc%2Fpasswd": 404, oneRoom + "a": 404, "/api/v1/conversations/C_abcdefghijklmnopqrstuvwxyz": 404,
		oneRoom + "/messages/0/revisions": 404, oneRoom + "/messages/-1/revisions": 404, oneRoom + "/messages/07/revisions": 404, oneRoom + "/messages/99999999999999999999/revisions": 404, oneRoom + "/messages/1e3/revisions": 404,
		oneRoom + "/messages?limit=0": 400, oneRoom + "/messages?limit=101": 400, oneRoom + "/messages?before=-1": 400, oneRoom + "/messages?after=1&after=2": 400, oneRoom + "/messages?pinned=yes": 400, oneRoom + "/messages?author=ann": 400,
		oneRoom + "/messages?around=18446744073709551615": 400, oneRoom + "/changes": 400, oneRoom + "/changes?since=": 400, oneRoom + "/changes?since=1&limit=501": 400, oneRoom + "/members?cursor=" + strings.Repeat("a", 513): 400,
		"/api/v1/search?text=%00": 400, "/api/v1/search?text=%ff": 400, "/api/v1/search?text=" + strings.Repeat("a", 4097): 400, "/api/v1/topics?tag=" + strings.Repeat("a", 257): 400, "/api/v1/files/": 404,
	} {
		if w := b.do(b.request("GET", path, "", b.token(annID))); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	if calls := b.accounts.took(); len(calls) > 0 {
		t.Errorf("asked %q", calls)
	}
	for _, c := range []struct {
		method, path, body string
		want               any
	}{
		{"GET", "/messages?before=9&thread=3&author=" + string(boID) + "&pinned=true&limit=7", "", protocol.ConvHistoryQuery{Before: 9, Thread: 3, Author: boID, Pinned: true, Limit: 7}},
		{"GET", "/messages?around=4", "", protocol.ConvHistoryQuery{Around: 4}},
		{"GET", "/changes?since=0", "", protocol.ConvSyncQuery{}},
		{"PUT", "/messages/12/reactions/%F0%9F%91%8D", "", protocol.ConvChange{Seq: 12, Emoji: "👍", On: true}},
		{"DELETE", "/messages/12/reactions/%F0%9F%91%8D", "", protocol.ConvChange{Seq: 12, Emoji: "👍"}},
		{"PUT", "/messages/12/pin", "{}", protocol.ConvChange{Seq: 12, On: true}},
		{"DELETE", "/messages/12/pin", "", protocol.ConvChange{Seq: 12}},
		{"DELETE", "/messages/12", "", protocol.ConvChange{Seq: 12}},
		{"PATCH", "/messages/12", `{"text":"x"}`, protocol.ConvChange{Seq: 12, Text: "x"}},
		{"PUT", "/marks", `{"read":3}`, protocol.ConvMark{Read: 3}},
		{"POST", "/files?name=a%2Fb%20c.txt", "", "a/b c.txt"},
	} {
		if w := b.do(b.request(c.method, oneRoom+c.path, c.body, b.token(annID))); w.Code != 200 || fmt.Sprint(b.accounts.last) != fmt.Sprint(c.want) {
			t.Errorf("%s %s: %d, asked for %+v, want %+v", c.method, c.path, w.Code, b.accounts.last, c.want)
		}
	}
}

// TestCreatedOnce: the key makes one conversation, and shows it again as it is.
func TestCreatedOnce(t *testing.T) {
	b := newBench(t)
	post := func() (int, string) {
		r := b.request("POST", "/api/v1/conversations", `{"kind":"topic","name":"Jazz"}`, b.token(annID))
		r.Header.Set("Idempotency-Key", strings.Repeat("k", 20))
		w := b.do(r)
		return w.Code, w.Header().Get("Idempotency-Replayed") + w.Body.String()
	}
	code, first := post()
	again, second := post()
	if code != 200 || again != 200 || second != "true"+first {
		t.Errorf("%d %s, then %d %s", code, first, again, second)
	}
	if calls := strings.Join(b.accounts.took(), "|"); calls != "Create "+string(annID)+"|Get "+string(roomID)+" "+string(annID) {
		t.Errorf("asked %s", calls)
	}
}

// TestServedFiles: nothing that is served can run as a page, whatever it is, and whatever its name says.
func TestServedFiles(t *testing.T) {
	b := newBench(t)
	files := b.cfg.Files.(*talks)
	for name, c := range map[string]struct {
		file                 protocol.ConvFile
		typ, how, dispositon string
	}{
		"a picture":         {protocol.ConvFile{Name: "holiday.jpg", Type: "image/jpeg"}, "image/jpeg", "inline", `inline; filename=holiday.jpg`},
		"a page":            {protocol.ConvFile{Name: "page.html", Type: "text/html"}, "application/octet-stream", "attachment", `attachment; filename=page.html`},
		"SVG":               {protocol.ConvFile{Name: "a.svg", Type: "image/svg+xml"}, "application/octet-stream", "attachment", `attachment; filename=a.svg`},
		"WebP, as it came":  {protocol.ConvFile{Name: "a.webp", Type: "image/webp"}, "application/octet-stream", "attachment", `attachment; filename=a.webp`},
		"a name with marks": {protocol.ConvFile{Name: `a"; filename=evil.exe; x="`, Type: "x"}, "application/octet-stream", "attachment", `attachment; filename="a\"; filename=evil.exe; x=\""`},
		"another script":    {protocol.ConvFile{Name: "фото.png", Type: "image/png"}, "image/png", "inline", `inline; filename*=utf-8''%D1%84%D0%BE%D1%82%D0%BE.png`},
		"lines":             {protocol.ConvFile{Name: "a\r\nSet-Cookie: evil=1", Type: "x"}, "application/octet-stream", "attachment", `attachment; filename*=utf-8''a%0D%0ASet-Cookie%3A%20evil%3D1`},
	} {
		c.file.ID = fileID
		files.file = c.file
		w := b.do(b.request("GET", "/api/v1/files/"+fileID, "", b.token(annID)))
		h := w.Header()
		if w.Code != 200 || w.Body.String() != "hello" || h.Get("Content-Type") != c.typ || h.Get("Content-Disposition") != c.dispositon || len(h["Set-Cookie"]) > 0 {
			t.Errorf("%s: %d %q %q %s", name, w.Code, h.Get("Content-Type"), h.Get("Content-Disposition"), w.Body)
		}
		if h.Get("Content-Security-Policy") != "sandbox; default-src 'none'" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" || !strings.HasPrefix(h.Get("Cache-Control"), "private") {
			t.Errorf("%s: %v", name, h)
		}
	}
}

// TestRanges: parts, and what is had already, as browsers ask for them.
func TestRanges(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		header, value string
		code          int
		body          string
	}{
		{"Range", "bytes=1-3", 206, "ell"}, {"Range", "bytes=-2", 206, "lo"}, {"Range", "bytes=9-", 416, "invalid range: failed to overlap\n"}, {"Range", "bytes=0-0,2-2,4-4,1-1,3-3", 200, "hello"},
		{"If-None-Match", `"` + fileID + `"`, 304, ""}, {"If-None-Match", `"other"`, 200, "hello"},
	} {
		r := b.request("GET", "/api/v1/files/"+fileID, "", b.token(annID))
		r.Header.Set(c.header, c.value)
		if w := b.do(r); w.Code != c.code || w.Body.String() != c.body {
			t.Errorf("%s %s: %d %q", c.header, c.value, w.Code, w.Body)
		}
	}
}

// TestUploadsBody: only what no form can send is taken, and nothing that is packed.
func TestUploadsBody(t *testing.T) {
	b := newBench(t)
	for header, want := range map[string]int{
		"Content-Type: application/octet-stream": 200, "Content-Type: ": 400, "Content-Type: image/png": 400, "Content-Type: text/plain": 400, "Content-Type: multipart/form-data; boundary=x": 400, "Content-Type: application/json": 400, "Content-Encoding: gzip": 400,
	} {
		name, value, _ := strings.Cut(header, ": ")
		r := b.request("POST", oneRoom+"/files?name=a", "hello", b.token(annID))
		r.Header.Set(name, value)
		if w := b.do(r); w.Code != want {
			t.Errorf("%s: %d, want %d", header, w.Code, want)
		}
	}
	if calls := b.accounts.took(); len(calls) != 1 {
		t.Errorf("asked %q", calls)
	}
}

// TestNoConversations: a server without them says so.
func TestNoConversations(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Conversations, c.Files, c.Translate, c.PushKey = nil, nil, nil, "" })
	for _, r := range slices.Concat(conversationRoutes(limit{}, limit{}), pushRoutes(limit{}, limit{})) {
		for _, o := range operations(t, b.doc) {
			if o.method+" "+o.path != r.Name() {
				continue
			}
			path, body := b.example(o)
			if w := b.do(b.request(o.method, path, body, b.token(annID))); w.Code != http.StatusNotFound {
				t.Errorf("%s: %d", r.Name(), w.Code)
			}
		}
	}
}

package browser_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// people makes accounts without the dialogs, which have tests of their own.
type people struct {
	t    *testing.T
	node *lab.Node
	sink *testenv.SMTPServer
}

func (q people) post(path string, body map[string]any, want int) map[string]any {
	q.t.Helper()
	b, _ := json.Marshal(body) // strings
	r, err := http.Post(q.node.URL()+"/api/v1"+path, "application/json", bytes.NewReader(b))
	if err != nil {
		q.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != want {
		q.t.Fatalf("%s: %d %s %v", path, r.StatusCode, text, err)
	}
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		q.t.Fatal(err)
	}
	return answer
}

// register makes an account and returns an access token of it.
func (q people) register(name string) string {
	q.t.Helper()
	mail := name + "@example.org"
	began := q.post("/auth/register", map[string]any{"email": mail, "username": name, "password": annPassword, "bearer": true}, http.StatusAccepted)
	login := q.post("/auth/verify", map[string]any{"email": mail, "code": q.sink.MailTo(q.t, mail, 1).Code(q.t), "bearer": true, "device_token": began["device_token"]}, http.StatusOK)
	token, _ := login["access_token"].(string)
	if token == "" {
		q.t.Fatalf("%s: no token in %v", name, login)
	}
	return token
}

// comes opens the chats as somebody who has an account.
func (p *page) comes(name, url string) {
	p.t.Helper()
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error { // who looks at it reads, also in a tab behind others
		_, err := cdp.Call(ctx, t, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
		return err
	}))
	p.open(url + "/nowhere") // a page of the site that does nothing
	status := eval[int](p, fmt.Sprintf(`(async () => {
		const r = await fetch("/api/v1/auth/login", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({login: %q, password: %q})});
		localStorage.setItem("rondo.account", JSON.stringify({at: Date.now(), until: (await r.json()).access_expires_at}));
		return r.status;
	})()`, name, annPassword))
	if status != http.StatusOK {
		p.t.Fatalf("%s cannot log in: %d", name, status)
	}
	p.open(url + "/c")
	p.view(step, "chats")
	p.account("in")
	p.until(step, `document.documentElement.dataset.connection === "open" && rondo.conversations.loaded`, "the chats are there")
}

// reads waits until the conversation shows the text, and returns the message's number.
func (p *page) reads(text string) int {
	p.t.Helper()
	row := fmt.Sprintf(`[...document.querySelectorAll(".msg[data-seq]")].find(m => m.querySelector('[data-testid="text"]')?.textContent === %q)`, text)
	p.until(step, row, fmt.Sprintf("%q is shown", text))
	return eval[int](p, "Number("+row+".dataset.seq)")
}

// message is the selector of a message.
func message(seq int) string { return fmt.Sprintf(`.msg[data-seq="%d"]`, seq) }

// holds waits until a part of a message fits.
func (p *page) holds(seq int, part, expression string) {
	p.t.Helper()
	p.until(step, fmt.Sprintf(`(e => e && (%s))(document.querySelector(%q))`, expression, message(seq)+" "+part), fmt.Sprintf("message %d: %s: %s", seq, part, expression))
}

// writes sends a message from the composer.
func (p *page) writes(text string) int {
	p.t.Helper()
	p.fill("talk-input", text)
	p.press(kb.Enter)
	return p.reads(text)
}

func (p *page) press(key string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(key))
}

// tool opens the tools of a message by keyboard and presses one of them.
func (p *page) tool(seq int, tools ...string) {
	p.t.Helper()
	eval[bool](p, fmt.Sprintf(`(document.querySelector(%q).focus(), true)`, message(seq)))
	for _, id := range tools {
		p.click(id)
	}
}

// place is which conversation the address names.
func (p *page) place() protocol.RoomID {
	p.t.Helper()
	return protocol.RoomID(eval[string](p, `location.pathname.split("/")[2] ?? ""`))
}

// shown are the messages that a page shows, as "seq text".
func (p *page) shown() []string {
	p.t.Helper()
	return eval[[]string](p, `[...document.querySelectorAll(".msg[data-seq]")].map(m => m.dataset.seq + " " + (m.querySelector('[data-testid="text"]')?.textContent ?? ""))`)
}

// recordOf opens the record beside the nodes.
func recordOf(t *testing.T, url string) *sqlstore.Store {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // the test is over
	return sqlstore.New(db)
}

// seed writes n messages of two people into the record of a conversation, as if they had been sent over days.
func seed(t *testing.T, store *sqlstore.Store, room protocol.RoomID, authors []protocol.ConvPerson, n int, text func(i int) string) {
	t.Helper()
	const batch = 1000
	began := time.Now().Add(-96 * time.Hour)
	for done := 0; done < n; done += batch {
		count := min(batch, n-done)
		err := store.Write(t.Context(), "seed", func(tx conversations.Tx) error {
			row, err := tx.Draw(room, count)
			if err != nil {
				return err
			}
			for i := range count {
				seq := row.Seq - uint64(count-1-i)
				a := authors[(done+i)/3%len(authors)]
				at := began.Add(time.Duration(done+i) * 96 * time.Hour / time.Duration(n)).UnixMilli()
				m := protocol.ConvMessage{Seq: seq, Rev: seq, From: a.ID, Name: a.Name, CID: fmt.Sprintf("seed%d", seq), Text: text(done + i), At: at}
				if err := tx.InsertMessage(conversations.Message{Room: room, ConvMessage: m}); err != nil {
					return err
				}
				row.Active = at
			}
			return tx.UpdateConversation(row)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestConversations: two pages and a program of the Go SDK in a group with 10,000
// messages, on one node, and a page on another: what one does all others see.
func TestConversations(t *testing.T) {
	sink, flags := mailFlags(t)
	record := testenv.Postgres(t)
	nodes := lab.Pair(t, testenv.Redis(t).URL, append(flags, "--database", record, "--files-dir", filepath.Join(t.TempDir(), "files"),
		"--translate", "libre", "--translate-url", libreTranslate(t), "--outbound-allow", "127.0.0.0/8")...)
	q := people{t, nodes[0], sink}
	for _, name := range []string{"ann", "bob", "dia"} {
		q.register(name)
	}
	token := q.register("cyd")

	b := newBrowser(t, browserOptions{})
	ann, bo := b.newPage("Ann", pageOptions{}), b.newPage("Bo", pageOptions{phone: true})
	ann.comes("ann", nodes[0].URL())
	bo.comes("bob", nodes[0].URL())
	room := ann.makesGroup("Weekend", "bob, cyd, dia")
	cy := programInGroup(t, nodes[0], token, room)
	bo.joins(room)

	store := recordOf(t, record)
	seed(t, store, room, personsOf(cy), 10_000, func(i int) string { return fmt.Sprintf("Message %d", i+1) })
	ann.open(nodes[0].URL() + "/c/" + string(room))
	ann.reads("Message 10000")
	bo.open(nodes[0].URL() + "/c/" + string(room))
	bo.reads("Message 10000")
	ann.scrolls()

	ann.talksWith(bo, cy)
	ann.shares(bo)
	ann.look("chats")
	bo.look("chats-phone")
	t.Run("another node", func(t *testing.T) {
		di := (&browser{t, b.ctx}).newPage("Di", pageOptions{})
		di.comes("dia", nodes[1].URL())
		di.joins(room)
		seq := di.writes("and I am here too")
		for _, p := range []*page{ann, bo} {
			p.holds(seq, `[data-testid="text"]`, `e.textContent === "and I am here too"`)
		}
		same(t, []*page{ann, bo, di}, cy)
	})
}

// makesGroup makes a group by the dialog and invites people.
func (p *page) makesGroup(name, invite string) protocol.RoomID {
	p.t.Helper()
	p.click("chat-new")
	p.choose("kind-group")
	p.fill("conv-name", name)
	p.fill("conv-invite", invite)
	p.click("conv-new-submit")
	p.sees("talk-title", name)
	return p.place()
}

// joins accepts an invitation.
func (p *page) joins(room protocol.RoomID) {
	p.t.Helper()
	row := fmt.Sprintf(`[data-testid="conv"][data-id=%q]`, room)
	p.until(step, fmt.Sprintf(`document.querySelector('%s')`, row), "the invitation is in the list")
	p.do(chromedp.Click(chromedp.CSS(row), chromedp.NodeVisible))
	p.click("join")
	p.until(step, `document.querySelector('[data-testid="join-bar"]').hidden && document.querySelector('[data-testid="talk-input"]').checkVisibility()`, "is a member")
}

// programInGroup dials a program that joins the group and keeps a view of it.
func programInGroup(t *testing.T, n *lab.Node, token string, room protocol.RoomID) *client.View {
	t.Helper()
	c := n.Dial(t, 1, client.Options{Bearer: func(context.Context) (string, error) { return token, nil }})
	r, err := http.NewRequestWithContext(t.Context(), "POST", n.URL()+"/api/v1/conversations/"+string(room)+"/join", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("join: %d", answer.StatusCode)
	}
	v, err := c.Conversation(room).View(t.Context(), client.ViewOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// personsOf are who is in the view, in the order of their ids.
func personsOf(v *client.View) []protocol.ConvPerson {
	all := v.People()
	list := make([]protocol.ConvPerson, 0, len(all))
	for _, p := range all {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b protocol.ConvPerson) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return list
}

// jump is what scrolling found.
type jump struct {
	Steps, Moved, Worst int
	First, Last         int
	Holes               []string
}

// scrolls goes through the past: what is in sight stays where it is when more comes, on both ways, and no
// message is missing.
func (p *page) scrolls() {
	p.t.Helper()
	const walk = `(async (by, until, most) => {
		const scroll = document.querySelector("#talk-scroll"), view = rondo.conversations.view(location.pathname.split("/")[2]);
		const frame = () => new Promise((r) => requestAnimationFrame(() => setTimeout(r)));
		const rows = () => [...document.querySelectorAll(".msg[data-seq]")];
		const out = {Steps: 0, Moved: 0, Worst: 0, First: 0, Last: 0, Holes: []};
		const seen = new Set();
		for (; out.Steps < most; out.Steps++) {
			const mid = scroll.getBoundingClientRect().top + scroll.clientHeight / 2;
			const row = rows().find((r) => r.getBoundingClientRect().bottom > mid) ?? rows().at(-1);
			const seq = row.dataset.seq, before = row.getBoundingClientRect().top, at = scroll.scrollTop;
			scroll.scrollTop += by;
			const moved = scroll.scrollTop - at; // as far as there was room
			await frame(); await frame();
			const wait = Date.now();
			while ((by < 0 ? view.older && scroll.scrollTop < 200 : view.newer && scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 200) && Date.now() - wait < 4000) await frame();
			await frame();
			const now = document.querySelector('.msg[data-seq="' + seq + '"]');
			if (now) {
				const off = Math.abs(now.getBoundingClientRect().top - (before - moved));
				if (off > 2) { out.Moved++; out.Worst = Math.max(out.Worst, Math.round(off)); }
			}
			let last = 0;
			for (const r of rows()) {
				const n = Number(r.dataset.seq);
				seen.add(n);
				if (last && n !== last + 1 && view.messages.some((m) => m.seq > last && m.seq < n)) out.Holes.push(last + " " + n);
				last = n;
			}
			if (until === "start" ? !view.older && scroll.scrollTop < 5 : !view.newer && scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 5) break;
		}
		out.First = Math.min(...seen); out.Last = Math.max(...seen);
		return out;
	})`
	up := eval[jump](p, walk+`(-1800, "start", 40)`)
	if up.Moved > 0 || len(up.Holes) > 0 || up.Last-up.First < 400 {
		p.t.Errorf("upwards: %+v", up)
	}
	// To the very first: by its number, as a search does it, then on by scrolling.
	first := eval[int](p, `rondo.conversations.view(location.pathname.split("/")[2]).history({after: 1, limit: 60}).then(h => h.messages.find(m => m.text === "Message 40").seq)`)
	eval[bool](p, fmt.Sprintf(`rondo.conversations.view(location.pathname.split("/")[2]).around(%d)`, first))
	p.reads("Message 40")
	start := eval[jump](p, walk+`(-900, "start", 20)`)
	if start.Moved > 0 || len(start.Holes) > 0 {
		p.t.Errorf("to the start: %+v", start)
	}
	p.reads("Message 1")
	down := eval[jump](p, walk+`(1800, "end", 14)`)
	if down.Moved > 0 || len(down.Holes) > 0 || down.Last-down.First < 200 {
		p.t.Errorf("downwards: %+v", down)
	}
	if kept := eval[int](p, `document.querySelectorAll(".msg").length`); kept > 450 {
		p.t.Errorf("the page holds %d messages", kept)
	}
	p.click("talk-jump")
	p.reads("Message 10000")
}

// talksWith: what one does the others see, at once.
func (p *page) talksWith(bo *page, cy *client.View) {
	p.t.Helper()
	t := p.t
	p.fill("talk-input", "hel")
	bo.sees("talk-typing", "is writing")
	testenv.Eventually(t, step, func() bool { return len(cy.Writing()) == 1 }, "the program sees who writes")
	p.press("lo all")
	p.press(kb.Enter)
	hello := p.reads("hello all")
	bo.reads("hello all")
	p.until(step, fmt.Sprintf(`document.querySelector('%s [data-testid="receipt"]')`, message(hello)), "a receipt")

	sent, err := cy.Send(t.Context(), protocol.ConvSend{Text: "hello from a program, https://example.org/x?y."})
	if err != nil {
		t.Fatal(err)
	}
	said := int(sent.Message.Seq)
	for _, q := range []*page{p, bo} {
		q.holds(said, "a", `e.href === "https://example.org/x?y" && e.rel === "noopener noreferrer nofollow" && e.protocol === "https:"`)
	}
	p.tool(hello, "tool-more", "edit")
	p.fill("talk-input", " of you")
	p.press(kb.Enter)
	bo.holds(hello, `[data-testid="text"]`, `e.textContent === "hello all of you"`)
	bo.holds(hello, `[data-testid="edited"]`, `true`)

	bo.tool(hello, "tool-reply")
	bo.fill("talk-input", "an answer")
	bo.click("talk-send")
	answer := p.reads("an answer")
	p.holds(answer, `[data-testid="quote"]`, `e.textContent.includes("hello all of you")`)

	bo.tool(said, "tool-smile")
	bo.do(chromedp.Click(chromedp.CSS(`[data-testid="emoji"] [data-emoji="🎉"]`), chromedp.NodeVisible))
	p.holds(said, `[data-testid="reaction"][data-emoji="🎉"]`, `e.getAttribute("aria-pressed") === "false" && e.textContent.includes("1")`)
	p.do(chromedp.Click(chromedp.CSS(message(said)+` [data-testid="reaction"]`), chromedp.NodeVisible))
	bo.holds(said, `[data-testid="reaction"]`, `e.textContent.includes("2")`)

	gone := p.writes("better not")
	bo.reads("better not")
	p.tool(gone, "tool-more", "delete-message")
	for _, q := range []*page{p, bo} {
		q.holds(gone, ".msg-gone", `e.textContent === "Message deleted"`)
	}
	p.receipts(bo, cy)
}

// libreTranslate starts a server that speaks LibreTranslate's contract and takes everything for German.
func libreTranslate(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /languages", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"code":"de","name":"German","targets":["en","de"]},{"code":"en","name":"English","targets":["en","de"]}]`)
	})
	mux.HandleFunc("POST /translate", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Q      []string `json:"q"`
			Target string   `json:"target"`
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out := struct {
			Text     []string         `json:"translatedText"`
			Detected []map[string]any `json:"detectedLanguage"`
		}{}
		for _, s := range in.Q {
			out.Text = append(out.Text, in.Target+": "+s)
			out.Detected = append(out.Detected, map[string]any{"language": "de", "confidence": 90})
		}
		_ = json.NewEncoder(w).Encode(out) // the reader is gone, or not
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// shares: a picture is seen by all, a message is found and gone to, and read in another language.
func (p *page) shares(bo *page) {
	p.t.Helper()
	p.do(chromedp.SetUploadFiles(chromedp.CSS(testid("attach-file")), []string{photo(p.t)}, chromedp.NodeReady))
	p.until(step, `document.querySelector('[data-testid="attachment"]')?.dataset.state === "done"`, "the picture is uploaded")
	seq := p.writes("look at this")
	for _, q := range []*page{p, bo} {
		q.holds(seq, `[data-testid="picture"] img`, `e.naturalWidth > 100 && e.complete`)
	}
	p.click("talk-search")
	p.fill("talk-find-text", "hello yo")
	p.until(step, `document.querySelectorAll('[data-testid="talk-hits"] [data-testid="hit"]').length === 1`, "it is found")
	p.click("hit")
	p.until(step, `document.activeElement.querySelector?.('[data-testid="text"]')?.textContent === "hello all of you"`, "it is gone to")
	p.click("talk-search")
	german := p.writes("Guten Morgen")
	bo.reads("Guten Morgen")
	bo.click("talk-translate")
	bo.holds(german, `[data-testid="text"]`, `e.textContent === "en: Guten Morgen"`)
	bo.do(chromedp.Click(chromedp.CSS(message(german)+` [data-testid="flip"]`), chromedp.NodeVisible))
	bo.holds(german, `[data-testid="text"]`, `e.textContent === "Guten Morgen"`)
	bo.click("talk-translate")
}

// receipts: a message is read by all when all have seen it.
func (p *page) receipts(bo *page, cy *client.View) {
	p.t.Helper()
	last := p.writes("who has read this?")
	bo.reads("who has read this?")
	testenv.Eventually(p.t, step, func() bool {
		read := 0
		for _, m := range cy.People() {
			if m.Name != "cyd" && m.Read >= uint64(last) {
				read++
			}
		}
		return read == 2
	}, "both pages have read it: %v", lazy(func() string { return fmt.Sprint(cy.People()) }))
}

// same waits until all have the same newest messages.
func same(t *testing.T, pages []*page, cy *client.View) {
	t.Helper()
	const newest = 12
	var got []string
	testenv.Eventually(t, step, func() bool {
		all, _ := cy.Messages()
		want := make([]string, 0, newest)
		for _, m := range all[max(0, len(all)-newest):] {
			want = append(want, fmt.Sprintf("%d %s", m.Seq, m.Text))
		}
		got = []string{strings.Join(want, "\n")}
		for _, p := range pages {
			s := p.shown()
			got = append(got, strings.Join(s[max(0, len(s)-newest):], "\n"))
		}
		return len(slices.Compact(slices.Clone(got))) == 1
	}, "all see the same: %v", lazy(func() string { return strings.Join(got, "\n---\n") }))
}

// sqliteRecord is where the record of a test on SQLite is.
func sqliteRecord(t *testing.T) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "rondo.db")
}

// TestChatsLook: the list, the directory, a conversation and its dialogs at phone and desktop size: what must be there lies in the
// window, nothing scrolls sideways, and axe finds nothing to complain of.
func TestChatsLook(t *testing.T) {
	axe := axeScript(t)
	sink, flags := mailFlags(t)
	record := sqliteRecord(t)
	node := lab.Start(t, lab.Options{Args: append(flags, "--database", record)})
	q := people{t, node, sink}
	q.register("ann")
	q.register("bob")
	b := newBrowser(t, browserOptions{})
	for _, sc := range []screen{{"desktop", false, false}, {"phone dark", true, true}} {
		t.Run(sc.name, func(t *testing.T) {
			p := (&browser{t, b.ctx}).newPage("Ann", pageOptions{phone: sc.phone})
			p.scheme(sc)
			p.comes("ann", node.URL())
			for _, l := range chatLooks(node, recordOf(t, record)) {
				l.reach(&stage{page: p, node: node})
				p.still()
				p.look(strings.ReplaceAll(l.name, " ", "-"))
				p.checkLayout(l)
				p.axe(axe, l.name, "html")
			}
		})
	}
}

// chatLooks are in the order of a visit.
func chatLooks(node *lab.Node, store *sqlstore.Store) []look {
	opened := func(s *stage, id string) {
		s.page.until(step, fmt.Sprintf(`document.querySelector('[data-testid=%q]')?.open`, id), id+" is open")
	}
	return []look{
		{"new chat", func(s *stage) {
			s.page.click("chat-new")
			s.page.choose("kind-topic")
		}, []string{"conv-name", "conv-about", "conv-language", "conv-tags", "conv-new-submit"}},
		{"conversation", func(s *stage) {
			s.page.fill("conv-name", "Night trains of Europe")
			s.page.fill("conv-about", "Which line is worth a night, and which seat?\nI begin: Vienna to Venice.")
			s.page.fill("conv-tags", "trains, travel")
			s.page.click("conv-new-submit")
			s.page.sees("talk-title", "Night trains")
			s.page.seedTalk(store)
		}, []string{"talk-title", "talk-input", "talk-send", "attach", "talk-search", "talk-more"}},
		{"answering", func(s *stage) {
			seq := eval[int](s.page, `Number([...document.querySelectorAll(".msg[data-seq]")].at(-2).dataset.seq)`)
			s.page.tool(seq, "tool-reply")
		}, []string{"composing", "talk-input", "msg-tools"}},
		{"message menu", func(s *stage) {
			s.page.tool(eval[int](s.page, `Number([...document.querySelectorAll(".msg[data-own]")].at(-1).dataset.seq)`), "tool-more")
		},
			[]string{"edit", "delete-message"}},
		{"members", func(s *stage) {
			s.page.press(kb.Escape)
			s.page.click("talk-members")
			s.page.until(step, `document.querySelectorAll('[data-testid="person"]').length > 0`, "the members")
		}, []string{"person"}},
		{"settings", func(s *stage) {
			s.page.closeDialog("conv-people")
			s.page.click("talk-more")
			s.page.click("menu-settings")
			opened(s, "conv-set")
		}, []string{"set-name", "set-writers"}},
		{"chat list", func(s *stage) {
			s.page.closeDialog("conv-set")
			s.page.open(node.URL() + "/c")
			s.page.until(step, `document.querySelector('[data-testid="conv"]')`, "a chat")
		}, []string{"conv", "chat-new", "find-open", "topics-open"}},
		{"directory", func(s *stage) {
			s.page.click("topics-open")
			s.page.until(step, `document.querySelector('[data-testid="topic"]')`, "a topic")
		}, []string{"topic", "topics-text", "topics-language", "topic-new"}},
	}
}

// seedTalk has two people talk in the conversation that is open.
func (p *page) seedTalk(store *sqlstore.Store) {
	p.t.Helper()
	words := []string{"The Nightjet, always. One wakes up in the mountains.", "A seat by the window, facing forward", "Has anybody tried the new mini cabins?", "Yes: small, quiet, and yours alone. https://example.org/cabins", "I would rather share and hear stories.", "See you on the platform then!"}
	you := protocol.UserID(eval[string](p, `rondo.user.id`))
	seed(p.t, store, p.place(), []protocol.ConvPerson{{ID: "g_someone", Name: "Bob"}, {ID: you, Name: "ann"}}, 30, func(i int) string { return words[i%len(words)] })
	p.do(chromedp.Reload())
	p.until(step, `document.querySelectorAll(".msg").length >= 30`, "the messages")
}

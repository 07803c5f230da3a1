package browser_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	cdpage "github.com/chromedp/cdproto/page"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/sqlstore"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/protocol"
)

// scripts are texts that would run in a page that takes text for markup, for an address, for a style or
// for a script. Each would set window.ran.
var scripts = []string{
	`<script>ran=1</script>`,
	`<ScRiPt>ran=1</sCrIpT>`,
	`<script src="data:text/javascript,ran=1"></script>`,
	`<script src=//127.0.0.1/x.js></script>`,
	`<script type=module>import "data:text/javascript,ran=1"</script>`,
	`</script><script>ran=1</script>`,
	`<<script>ran=1//<</script>`,
	`<scr<script>ipt>ran=1</scr</script>ipt>`,
	"<script\x0b>ran=1</script>",
	"<script\n>ran=1</script\n>",
	`<img src=x onerror=ran=1>`,
	`<img src=x onerror="ran=1">`,
	`<IMG SRC=x ONERROR='ran=1'>`,
	`<img/src/onerror=ran=1>`,
	`<img src="x` + "`" + `><script>ran=1</script>"` + "`" + `>`,
	`<img src="data:image/svg+xml,<svg onload='ran=1'/>">`,
	`<img srcset=x onerror=ran=1>`,
	`<image href=x onerror=ran=1>`,
	`"><img src=x onerror=ran=1>`,
	`'><img src=x onerror=ran=1>`,
	`" onmouseover="ran=1" x="`,
	`' onfocus='ran=1' autofocus x='`,
	"` onload=ran=1 `",
	`--><img src=x onerror=ran=1>`,
	`]]><img src=x onerror=ran=1>`,
	`</textarea><img src=x onerror=ran=1>`,
	`</title><img src=x onerror=ran=1>`,
	`</style><img src=x onerror=ran=1>`,
	`<svg onload=ran=1>`,
	`<svg/onload=ran=1>`,
	`<svg><script>ran=1</script></svg>`,
	`<svg><animate onbegin=ran=1 attributeName=x dur=1s>`,
	`<svg><a xlink:href="javascript:ran=1"><text x=20 y=20>x</text></a></svg>`,
	`<svg><foreignObject><body onload=ran=1></foreignObject></svg>`,
	`<svg><use href="data:image/svg+xml,<svg id=x onload=ran=1>#x"/></svg>`,
	`<math><mtext><table><mglyph><style><img src=x onerror=ran=1>`,
	`<math href="javascript:ran=1">x</math>`,
	`<body onload=ran=1>`,
	`<iframe src="javascript:ran=1"></iframe>`,
	`<iframe srcdoc="<script>parent.ran=1</script>"></iframe>`,
	`<object data="javascript:ran=1"></object>`,
	`<embed src="javascript:ran=1">`,
	`<video src=x onerror=ran=1></video>`,
	`<video><source onerror=ran=1></video>`,
	`<audio src=x onerror=ran=1>`,
	`<details open ontoggle=ran=1>x</details>`,
	`<marquee onstart=ran=1>x</marquee>`,
	`<input autofocus onfocus=ran=1>`,
	`<select autofocus onfocus=ran=1>`,
	`<form action="javascript:ran=1"><button autofocus>x</button></form>`,
	`<button popovertarget=x onbeforetoggle=ran=1>x</button><div popover id=x>`,
	`<isindex type=image src=1 onerror=ran=1>`,
	`<link rel=stylesheet href="data:text/css,*{background:url(javascript:ran=1)}">`,
	`<style>@import "javascript:ran=1";</style>`,
	`<style>*{animation:x}@keyframes x{}</style><p onanimationstart=ran=1>`,
	`<div style="background:url(javascript:ran=1)">x</div>`,
	`<meta http-equiv=refresh content="0;url=javascript:ran=1">`,
	`<base href="javascript:ran=1//">`,
	`<template><script>ran=1</script></template>`,
	`<noscript><p title="</noscript><img src=x onerror=ran=1>">`,
	`<xss onclick=ran=1 autofocus tabindex=1>x</xss>`,
	`<a href="javascript:ran=1">x</a>`,
	`<a href="jav&#x09;ascript:ran=1">x</a>`,
	`javascript:ran=1`,
	`JaVaScRiPt:ran=1`,
	"java\tscript:ran=1",
	`javascript://https://example.org/%0aran=1`,
	`data:text/html,<script>ran=1</script>`,
	`vbscript:ran=1`,
	`https://example.org/"onmouseover="ran=1`,
	`https://example.org/<script>ran=1</script>`,
	`https://javascript:ran=1@example.org/`,
	`http://[javascript:ran=1]`,
	`<@"><img src=x onerror=ran=1>>`,
	`<@u_1"><script>ran=1</script>`,
	`${ran=1}`,
	`{{constructor.constructor('ran=1')()}}`,
	`{{=<% %>=}}<%ran=1%>`,
	`&lt;script&gt;ran=1&lt;/script&gt;`,
	`&#60;script&#62;ran=1&#60;/script&#62;`,
	`\u003cscript\u003eran=1\u003c/script\u003e`,
	`%3Cscript%3Eran=1%3C/script%3E`,
	`+ADw-script+AD4-ran=1+ADw-/script+AD4-`,
	"\u202e<script>ran=1</script>",
	"<\u0000script>ran=1</script>",
	"＜script＞ran=1＜/script＞",
	`constructor`, `__proto__`, `toString`,
	`[x](javascript:ran=1)`,
	`![x](x"onerror="ran=1)`,
}

// plain is a script as a text can hold it.
func plainScripts() []string {
	var all []string
	for _, s := range scripts {
		if !slices.Contains([]rune(s), 0) {
			all = append(all, s)
		}
	}
	return all
}

// TestScriptsAreText: what people write, call themselves, their topics and their files runs nowhere, and is shown as it
// was written. The record has it, so that nothing that might have refused it was asked.
func TestScriptsAreText(t *testing.T) {
	sink, flags := mailFlags(t)
	record := sqliteRecord(t)
	node := lab.Start(t, lab.Options{Args: append(flags, "--database", record)})
	q := people{t, node, sink}
	q.register("ann")
	p := newBrowser(t, browserOptions{}).newPage("Ann", pageOptions{})
	bad := p.watchScripts()
	p.comes("ann", node.URL())
	all := plainScripts()
	if len(all) < 60 {
		t.Fatalf("%d scripts", len(all))
	}
	room := p.makesGroup("Scripts", "")
	writeScripts(t, recordOf(t, record), room, all, protocol.UserID(eval[string](p, `rondo.user.id`)))

	p.open(node.URL() + "/c/" + string(room))
	last := len(all) - 1
	p.until(step, fmt.Sprintf(`[...document.querySelectorAll(".msg")].at(-1)?.querySelector('[data-testid="text"]')?.textContent === %q`, all[last]), "the last one")
	eval[bool](p, fmt.Sprintf(`rondo.conversations.view(%q).loadOlder()`, room))
	p.until(step, fmt.Sprintf(`document.querySelectorAll(".msg").length === %d`, len(all)), "all of them")
	p.showsScripts(all)
	p.open(node.URL() + "/c")
	p.view(step, "chats")
	p.until(step, fmt.Sprintf(`[...document.querySelectorAll(".conv b")].some(b => b.textContent === %q)`, all[1]), "a name in the list")
	p.open(node.URL() + "/c/topics")
	p.until(step, fmt.Sprintf(`[...document.querySelectorAll(".topic-card")].some(c => c.textContent.includes(%q))`, all[2]), "a topic in the directory")
	p.noMarkup()
	if err := bad(); err != "" {
		t.Error(err)
	}
}

// writeScripts puts them into the record: as texts, names of people and files, quoted, as a group's name, and as topics.
func writeScripts(t *testing.T, store *sqlstore.Store, room protocol.RoomID, all []string, ann protocol.UserID) {
	t.Helper()
	err := store.Write(t.Context(), "scripts", func(tx conversations.Tx) error {
		row, err := tx.Draw(room, len(all))
		if err != nil {
			return err
		}
		first := row.Seq - uint64(len(all)) + 1
		for i, s := range all {
			seq := first + uint64(i)
			m := protocol.ConvMessage{Seq: seq, Rev: seq, From: protocol.UserID(fmt.Sprintf("g_%026d", i)), Name: s, CID: fmt.Sprintf("s%d", i), Text: s, At: time.Now().UnixMilli(),
				Files: []protocol.ConvFile{{ID: fmt.Sprintf("f%d", i), Name: s, Type: "application/octet-stream", Size: 1}}}
			if i > 0 {
				m.ReplyTo = seq - 1
			}
			if err := tx.InsertMessage(conversations.Message{Room: room, ConvMessage: m}); err != nil {
				return err
			}
		}
		row.Name, row.Rev = all[1], row.Seq
		return tx.UpdateConversation(row)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range all[:40] {
		err := store.Write(t.Context(), "scripts", func(tx conversations.Tx) error {
			return tx.InsertConversation(conversations.Row{Terms: []string{}, Conversation: protocol.Conversation{
				ID: protocol.RoomID(fmt.Sprintf("c_%026d", i)), Kind: protocol.ConvTopic, Name: s, About: all[len(all)-1-i], Tags: []string{s}, Language: "en",
				Writers: protocol.WriteEveryone, Guests: true, Created: 1, Active: time.Now().UnixMilli()}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// watchScripts looks for what runs: dialogs and what the page's policy had to refuse. The function returns what it saw.
func (p *page) watchScripts() func() string {
	p.t.Helper()
	seen := make(chan string, 16)
	err := chromedp.Listen(p.ctx, func(ev any) {
		if d, ok := ev.(*cdpage.EventJavascriptDialogOpening); ok {
			select {
			case seen <- d.Message:
			default:
			}
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return func() string {
		select {
		case s := <-seen:
			return "a dialog opened: " + s
		default:
			return ""
		}
	}
}

// showsScripts checks a conversation: each is there as text, three times.
func (p *page) showsScripts(all []string) {
	p.t.Helper()
	type shown struct {
		Text, Name, File string
		Links            []string
	}
	got := eval[[]shown](p, `[...document.querySelectorAll(".msg")].map(m => ({
		Text: m.querySelector('[data-testid="text"]').textContent, Name: m.querySelector(".msg-who").textContent, File: m.querySelector(".file b").textContent,
		Links: [...m.querySelectorAll("a")].map(a => a.protocol + " " + a.rel)}))`)
	for i, s := range all {
		if got[i].Text != s || got[i].Name != s || got[i].File != s {
			p.t.Errorf("%q is shown as %+v", s, got[i])
		}
		for _, l := range got[i].Links {
			if l != "http: noopener noreferrer nofollow" && l != "https: noopener noreferrer nofollow" && l != "http: noopener noreferrer" {
				p.t.Errorf("%q: a link %s", s, l)
			}
		}
	}
	p.noMarkup()
}

// noMarkup: nothing ran, and nobody's text became an element.
func (p *page) noMarkup() {
	p.t.Helper()
	if ran := eval[bool](p, `"ran" in window`); ran {
		p.t.Error("something ran")
	}
	const foreign = `[...document.querySelectorAll("main script, main iframe, main object, main embed, main style, main link, main base, main meta, main math, main marquee, main details, main template, main [onerror], main [onload], main [style*=url]")].filter(e => e.closest("#talk-log, .conv-list, .topic-list")).map(e => e.outerHTML.slice(0, 200))`
	if found := eval[[]string](p, foreign); len(found) > 0 {
		p.t.Errorf("elements of somebody's text: %q", found)
	}
}

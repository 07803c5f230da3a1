package server_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/chat/translate"
	"github.com/rondo-chat/rondo/chat/translate/libre"
	"github.com/rondo-chat/rondo/chat/wordlist"
	"github.com/rondo-chat/rondo/internal/outbound"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/server"
)

// hang is how long a call of a translator may take that does not answer.
const hang = 30 * time.Second

// translator is a Translator over a server that speaks LibreTranslate's contract, until it hangs.
func translator(t *testing.T, hangs *atomic.Bool) *translate.Translator {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Q      []string `json:"q"`
			Target string   `json:"target"`
		}
		if r.URL.Path == "/languages" {
			_, _ = w.Write([]byte(`[{"code":"de"},{"code":"en"}]`))
			return
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		if hangs.Load() {
			<-r.Context().Done()
			return
		}
		var out struct {
			Text []string `json:"translatedText"`
		}
		for _, s := range in.Q {
			out.Text = append(out.Text, in.Target+": "+s)
		}
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(h.Close)
	way, err := outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	c := way.Client()
	t.Cleanup(c.CloseIdleConnections)
	p, err := libre.New(libre.Config{Client: c, URL: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := translate.New(translate.Config{Provider: p, Timeout: hang})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

// TestTranslationDelaysNothing: messages are read in another language by who may read them, and while the
// translator hangs, messages come and go as before, also those of who waits for it.
func TestTranslationDelaysNothing(t *testing.T) {
	var hangs atomic.Bool
	tr := translator(t, &hangs)
	w := newTalkingTown(t, 1, func(_ int, cfg *server.Config) { cfg.Conversations.Translator = tr })
	ann, bo, eve := w.talker(t, 0, "ann"), w.talker(t, 0, "bob"), w.talker(t, 0, "eve")
	if !slices.Contains(ann.Welcome().Features, "translate") {
		t.Errorf("features %v", ann.Welcome().Features)
	}
	room := ann.create(protocol.ConvCreate{Kind: protocol.ConvDirect, With: "bob"})
	a, b := ann.view(room), bo.view(room)
	sent, err := a.Send(t.Context(), protocol.ConvSend{Text: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	ask := protocol.ConvTranslate{Messages: []uint64{sent.Message.Seq}, To: "de-CH"}
	want := protocol.ConvTranslation{Seq: sent.Message.Seq, Rev: sent.Message.Rev, Text: "de: hello"}
	testenv.Eventually(t, 10*time.Second, func() bool { // a busy machine may need longer than one patience
		got, err := bo.Conversation(room).Translate(t.Context(), ask)
		return err == nil && got.To == "de-CH" && len(got.Texts) == 1 && got.Texts[0] == want
	}, "a translation for bob")
	if got, err := eve.Conversation(room).Translate(t.Context(), ask); !errors.Is(err, &protocol.Error{Code: protocol.CodeNotFound}) {
		t.Errorf("for who may not read it: %+v, %v", got, err)
	}
	hangs.Store(true)
	late, err := a.Send(t.Context(), protocol.ConvSend{Text: "late"})
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := bo.Conversation(room).Translate(t.Context(), protocol.ConvTranslate{Messages: []uint64{late.Message.Seq}, To: "de"})
		answered <- err
	}()
	start := time.Now()
	for _, text := range []string{"one", "two"} {
		if _, err := b.Send(t.Context(), protocol.ConvSend{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	shows(t, "messages while the translator hangs", a, "hello", "late", "one", "two")
	if took := time.Since(start); took > hang/2 { // who asks waits half a second
		t.Errorf("it took %v", took)
	}
	if err := <-answered; !errors.Is(err, &protocol.Error{Code: protocol.CodeUnavailable}) {
		t.Errorf("the translation: %v", err)
	}
}

// TestBlockedWords: the operator's words are refused in messages, edits, and names of topics, with a code of their own.
func TestBlockedWords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(file, []byte("badword\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := wordlist.New(wordlist.Config{File: file})
	if err != nil {
		t.Fatal(err)
	}
	w := newTalkingTown(t, 1, func(_ int, cfg *server.Config) { cfg.Conversations.Moderator = m })
	ann := w.talker(t, 0, "ann")
	room := ann.create(protocol.ConvCreate{Kind: protocol.ConvTopic, Name: "Jazz", About: "All that swings"})
	v := ann.view(room)
	sent, err := v.Send(t.Context(), protocol.ConvSend{Text: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, &protocol.Error{Code: protocol.CodeRejected}) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = v.Send(t.Context(), protocol.ConvSend{Text: "you b.4.d.w.o.r.d"})
	refused("a message", err)
	_, err = v.Edit(t.Context(), sent.Message.Seq, "BÀDWORD")
	refused("an edit", err)
	_, err = ann.node.Conversations().Create(t.Context(), ann.caller(), protocol.ConvCreate{Kind: protocol.ConvTopic, Name: "badword", About: "x"})
	refused("a topic", err)
	shows(t, "what stays", v, "hello")
}

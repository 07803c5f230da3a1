// Package searchtest is the corpus that search is held to, in many scripts and with whatever looks like an
// operator, and its run over a conversations.Store.
package searchtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// Case is a query and the names of the texts that it finds.
type Case struct {
	Query string
	Want  []string // in the order of the alphabet
}

// Texts returns the corpus: messages by their names.
func Texts() map[string]string {
	return map[string]string{
		"creme":     "Crème brûlée à la carte",
		"plain":     "creme without accents",
		"zoe":       "Zoë, naïve, went to Łódź; İstanbul next",
		"decomp":    "cafe\u0301 in two code points",
		"strasse":   "Straße, ＦＵＬＬ ｗｉｄｔｈ, ﬁn",
		"greek":     "Ὁ Ὀδυσσεύς ταξίδεψε",
		"russian":   "Привет, вот йогурт и ёлка",
		"iogurt":    "иогурт без кратки",
		"ukrainian": "їжак і ґанок",
		"arabic":    "مُحَمَّدٌ يذهب إلى المدرســـة",
		"arabic2":   "محمد اسمه احمد ٤٢",
		"hebrew":    "שָׁלוֹם עולם",
		"chinese":   "我们明天去北京看长城",
		"reversed":  "京北人",
		"japanese":  "今日はカレーを食べる",
		"korean":    "한국어를 배웁니다",
		"thai":      "สวัสดีครับ",
		"hindi":     "नमस्ते दुनिया",
		"emoji":     "good morning 👍🏽 🎉🎉",
		"heart":     "love ❤️ you",
		"family":    "we are 👨‍👩‍👧 from 🇩🇪",
		"quoted":    `She said "hello world" and 'bye'`,
		"apart":     "world, hello!",
		"sql":       "Robert'); DROP TABLE chat_messages;-- /* x */ UNION SELECT 1",
		"fts":       "one AND two OR three NOT four NEAR five",
		"boolean":   "+plus -minus ~tilde >greater <less @distance *star (paren)",
		"column":    "words:secret id:7 rowid:9 text^2 {curly}",
		"tsquery":   "fat & rat | !cat <-> dog:*",
		"like":      `100% sure_thing \backslash\ %wild%`,
		"regexp":    "^begin.*end$ [a-z]+ a|b C++ C#",
		"stop":      "the and or not is of in to",
		"short":     "x ab 7",
		"long":      strings.Repeat("abcdefghij", 9) + " tail",
		"link":      "see https://example.org/path?q=value#part and mail@example.org",
		"lines":     "first\nsecond\ttab\u00a0nbsp\u200bzero",
		"nul":       "before\x01after <b>bold</b> &amp;",
	}
}

// Cases returns the queries.
func Cases() []Case {
	all := []Case{
		{"creme", []string{"creme", "plain"}}, {"CRÈME", []string{"creme", "plain"}}, {"brulee", []string{"creme"}}, {"brûlée carte", []string{"creme"}},
		{"zoe", []string{"zoe"}}, {"lodz", []string{"zoe"}}, {"istanbul", []string{"zoe"}}, {"CAFÉ ", []string{"decomp"}},
		{"strasse", []string{"strasse"}}, {"STRAẞE", []string{"strasse"}}, {"full width fin", []string{"strasse"}}, {"οδυσσευσ", []string{"greek"}}, {"ΤΑΞΊΔΕΨΕ", []string{"greek"}},
		{"йогурт", []string{"russian"}}, {"ЙОГУРТ", []string{"russian"}}, {"иогурт", []string{"iogurt"}}, {"елка", []string{"russian"}}, {"ёлка", []string{"russian"}},
		{"при", []string{"russian"}}, {"при ", nil}, {"їжак", []string{"ukrainian"}}, {"іжак", nil},
		{"محمد", []string{"arabic", "arabic2"}}, {"أحمد", []string{"arabic2"}}, {"المدرسه", []string{"arabic"}}, {"الى", []string{"arabic"}}, {"42", []string{"arabic2"}},
		{"שלום", []string{"hebrew"}},
		{"北京", []string{"chinese"}}, {"京北", []string{"reversed"}}, {"京", []string{"chinese", "reversed"}}, {"看长城", []string{"chinese"}}, {"北京长城", nil}, {"北京 长城", []string{"chinese"}},
		{"カレー", []string{"japanese"}}, {"ｶﾚｰ", []string{"japanese"}}, {"食べ", []string{"japanese"}}, {"한국", []string{"korean"}}, {"국어", []string{"korean"}}, {"한국어", []string{"korean"}}, {"สวัสดี", []string{"thai"}},
		{"नमस्ते", []string{"hindi"}}, {"नमस", []string{"hindi"}},
		{"👍", []string{"emoji"}}, {"👍🏿", []string{"emoji"}}, {"🎉", []string{"emoji"}}, {"❤", []string{"heart"}}, {"👨‍👩‍👧", []string{"family"}}, {"👨", nil}, {"🇩🇪", []string{"family"}}, {"🇩🇰", nil},
		{`"hello world"`, []string{"apart", "quoted"}}, {"hello wor", []string{"apart", "quoted"}}, {"hello wor ", nil}, {"bye'", []string{"quoted"}}, {`"`, nil}, {`'`, nil},
		{"hel*", nil}, {"*", nil}, {"hel", []string{"apart", "quoted"}}, {"h", nil}, {"x", []string{"short", "sql"}},
	}
	return append(all, operators()...)
}

// operators are queries that say something else in SQL and in the languages of the engines.
func operators() []Case {
	return []Case{
		{"'; DROP TABLE chat_messages; --", []string{"sql"}}, {"' OR 1=1 --", nil}, {"robert');", []string{"sql"}}, {"union select", []string{"sql"}},
		{"one AND four", []string{"fts"}}, {"one OR nine", nil}, {"one NOT four", []string{"fts"}}, {"NOT four", []string{"fts", "stop"}[:1]}, {"NEAR(one five)", []string{"fts"}}, {"NEAR(one, two, 3)", nil},
		{"+plus -minus", []string{"boolean"}}, {"plus -star", []string{"boolean"}}, {"-plus", []string{"boolean"}}, {"(paren", []string{"boolean"}}, {"~tilde >greater @distance", []string{"boolean"}}, {"@1", []string{"sql"}},
		{"words:secret", []string{"column"}}, {"id:7", []string{"column"}}, {"words:nothing", nil}, {"rowid:", []string{"column"}}, {"text^2", []string{"column"}}, {"{curly}", []string{"column"}},
		{"fat & dog", []string{"tsquery"}}, {"fat & nine", nil}, {"!cat", []string{"tsquery"}}, {"fat <-> dog", []string{"tsquery"}}, {"dog:*", []string{"tsquery"}}, {"fa:*", nil},
		{"100%", []string{"like"}}, {"%", nil}, {"_", nil}, {"sure_", []string{"like"}}, {`\backslash\`, []string{"like"}}, {`\`, nil}, {"wild", []string{"like"}},
		{"^begin.*end$", []string{"regexp"}}, {"C++", []string{"regexp"}}, {"c#", []string{"regexp"}}, {".*", nil},
		{"the", []string{"stop"}}, {"the and or not is of in to", []string{"stop"}}, {"ab", []string{"long", "short"}}, {"ab ", []string{"short"}}, {"7", []string{"column", "short"}},
		{strings.Repeat("abcdefghij", 9), []string{"long"}}, {strings.Repeat("abcdefghij", 9) + " tail", []string{"long"}}, {"abcdefghij", []string{"long"}}, {"abcdefghij ", nil},
		{"example.org", []string{"link"}}, {"https://example.org/path", []string{"link"}}, {"mail@example", []string{"link"}},
		{"second tab nbsp zero", []string{"lines"}}, {"after <b>bold</b>", []string{"nul"}}, {"", nil}, {"  ", nil}, {strings.Repeat("creme ", 30), []string{"creme", "plain"}},
		{strings.Repeat("(", 200), nil}, {strings.Repeat(`"a" `, 50), []string{"creme", "regexp"}},
	}
}

// Run puts the corpus into a store and looks for it.
func Run(t *testing.T, store conversations.Store) {
	const room, user protocol.RoomID = "c_searchtest", "u_searchtest"
	ctx := context.WithoutCancel(t.Context())
	names := []string{""}
	err := store.Write(ctx, "test", func(tx conversations.Tx) error {
		names = names[:1]
		row := conversations.Row{Conversation: protocol.Conversation{ID: room, Kind: protocol.ConvGroup, Name: "Corpus", Writers: protocol.WriteMembers}}
		if err := tx.InsertConversation(row); err != nil {
			return err
		}
		me := protocol.ConvPerson{ID: protocol.UserID(user), Name: "Me", Role: protocol.ConvMember}
		if err := tx.PutMember(conversations.Member{Room: room, ConvPerson: me}); err != nil {
			return err
		}
		for name, text := range Texts() {
			names = append(names, name)
			if err := send(tx, room, uint64(len(names)-1), text); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Cases() {
		for _, in := range []protocol.RoomID{room, ""} {
			got, err := find(ctx, store, conversations.Search{Room: in, Searcher: protocol.UserID(user), Limit: 100}, c.Query)
			if err != nil {
				t.Errorf("%q: %v", c.Query, err)
			}
			var found []string
			for _, seq := range got {
				found = append(found, names[seq])
			}
			if slices.Sort(found); !slices.Equal(found, c.Want) {
				t.Errorf("%q in %q finds %q, want %q", c.Query, in, found, c.Want)
			}
		}
	}
	for seq, name := range names[1:] {
		if got, err := find(ctx, store, conversations.Search{Room: room, Limit: 100}, Texts()[name]); err != nil || !slices.Contains(got, uint64(seq+1)) {
			t.Errorf("%q is not found by its own text: %v, %v", name, got, err)
		}
	}
}

func send(tx conversations.Tx, room protocol.RoomID, seq uint64, text string) error {
	if _, err := tx.Draw(room, 1); err != nil {
		return err
	}
	return tx.InsertMessage(conversations.Message{Room: room, Terms: conversations.Terms(text),
		ConvMessage: protocol.ConvMessage{Seq: seq, Rev: seq, From: "u_1", Name: "A", CID: fmt.Sprint(seq), Text: text, At: int64(seq)}})
}

// find returns the numbers of what is found.
func find(ctx context.Context, store conversations.Store, s conversations.Search, text string) (seqs []uint64, err error) {
	if s.Terms, s.Prefix = conversations.Query(text); len(s.Terms) == 0 {
		return nil, nil
	}
	err = store.Read(ctx, "test", func(r conversations.Reader) error {
		found, err := r.Search(s)
		seqs = nil
		for _, m := range found {
			seqs = append(seqs, m.Seq)
		}
		return err
	})
	return seqs, err
}

package conversations

import (
	"maps"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/protocol"
)

// TestJudge: what can be wrong with a record is found.
func TestJudge(t *testing.T) {
	const room = protocol.RoomID("c_r")
	a := &author{id: "g_a", name: "ann", words: []*word{
		{room: room, seq: 1, cid: "m0", text: "one"}, {room: "c_other", seq: 1, cid: "m1", text: "elsewhere"},
		{room: room, seq: 4, cid: "m2", text: "gone", deleted: true}, {room: room, seq: 6, cid: "m3", text: "three", liked: true},
	}}
	whole := map[uint64]protocol.ConvMessage{
		1: {Seq: 1, From: "g_a", CID: "m0", Text: "one"}, 2: {Seq: 2, From: "g_b", CID: "m0", Text: "of somebody else"},
		4: {Seq: 4, From: "g_a", CID: "m2", Deleted: 1},
		6: {Seq: 6, From: "g_a", CID: "m3", Text: "three", Reactions: []protocol.ConvReaction{{Emoji: "👍", Count: 1}}},
	}
	for want, spoil := range map[string]func(map[uint64]protocol.ConvMessage){
		"":               func(map[uint64]protocol.ConvMessage) {},
		"not there":      func(m map[uint64]protocol.ConvMessage) { delete(m, 1) },
		"there 2 times":  func(m map[uint64]protocol.ConvMessage) { m[7] = m[6] },
		"1 is m0 of g_b": func(m map[uint64]protocol.ConvMessage) { m[1] = m[2] },
		`says "other"`: func(m map[uint64]protocol.ConvMessage) {
			m[1] = protocol.ConvMessage{From: "g_a", CID: "m0", Text: "other"}
		},
		"deleted 0": func(m map[uint64]protocol.ConvMessage) {
			m[4] = protocol.ConvMessage{From: "g_a", CID: "m2", Text: "gone"}
		},
		"the reaction is gone": func(m map[uint64]protocol.ConvMessage) {
			m[6] = protocol.ConvMessage{From: "g_a", CID: "m3", Text: "three"}
		},
		"never said": func(m map[uint64]protocol.ConvMessage) { m[9] = protocol.ConvMessage{From: "g_a", CID: "m9"} },
	} {
		rec := record{messages: maps.Clone(whole)}
		spoil(rec.messages)
		found := strings.Join(rec.judge(a, room), "\n")
		if want == "" && found != "" || !strings.Contains(found, want) {
			t.Errorf("want %q, found %q", want, found)
		}
	}
	a.words[0].seq, a.words[3].seq = 6, 1
	if found := strings.Join(record{messages: whole}.judge(a, room), "\n"); !strings.Contains(found, "after") {
		t.Errorf("another order was not found: %q", found)
	}
}

package redisqueue

import (
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/matchmaking"
)

func TestParseTicket(t *testing.T) {
	e, err := parseTicket("0000000000000007\n1763697600123456\nu1\nn1\n{\"name\":\"Zoë\"}\nlr*\nar")
	if err != nil || e.Epoch != 7 || e.User != "u1" || e.Node != "n1" || e.Data != `{"name":"Zoë"}` || !e.Since.Equal(time.UnixMicro(1763697600123456)) {
		t.Errorf("%+v, %v", e, err)
	}
	for _, s := range []string{"", "#m", "7\n1763697600123456\nu1\nn1\n\nx", "0000000000000007\n17\nu1\nn1\n\nx", "0000000000000007\n1763697600123456\n\nn1\n\nx",
		"000000000000000x\n1763697600123456\nu1\nn1\n\nx", "0000000000000000\n1763697600123456\nu1\nn1\n\nx", "0000000000000007\n1763697600123456\nu1\nn1\n{}"} {
		if e, err := parseTicket(s); err == nil {
			t.Errorf("%q: %+v", s, e)
		}
	}
}

func TestUnreadableReplies(t *testing.T) {
	ticket := "0000000000000007\n1763697600123456\nu1\nn1\n{}\nx"
	for _, v := range []any{nil, "LISTED", []any{}, []any{"LISTED"}, []any{"LISTED", "1763697600123456", "3", int64(0), int64(0)}, []any{"LISTED", "then", int64(3), int64(0), int64(0)},
		[]any{"PROPOSED", "m", "s1", ticket, "s2"}, []any{"PROPOSED", "m", "s1", ticket, "s2", "torn", int64(0), int64(0)}, []any{int64(1)}, []any{"WHAT"}} {
		if r, err := readEnter("video", v); err == nil {
			t.Errorf("%v: %+v", v, r)
		}
	}
	r, err := readEnter("video", []any{"PROPOSED", "m", "s1", ticket, "s2", ticket, int64(4), int64(0)})
	if err != nil || r.Outcome != matchmaking.Proposed || r.Rejected != 4 || r.Pair.Pool != "video" || r.Pair.Entrants[1].Session != "s2" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := readVerdict("PERHAPS", nil); err == nil {
		t.Error("a verdict that is none")
	}
}

// FuzzTicket: what a ticket in Redis may hold is read as it was written, or refused.
func FuzzTicket(f *testing.F) {
	f.Add("0000000000000007\n1763697600123456\nu1\nn1\n{\"name\":\"Zoë\"}\nlr*\nar")
	f.Add("#match")
	f.Add("\n\n\n\n\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseTicket(s)
		if err != nil {
			return
		}
		again := strings.Join([]string{digits(e.Epoch), digits(uint64(e.Since.UnixMicro())), string(e.User), string(e.Node), e.Data}, "\n") + "\n"
		if !strings.HasPrefix(s, again) {
			t.Fatalf("%q was read as %q", s, again)
		}
	})
}

package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDecode(t *testing.T) {
	for text, want := range map[string]Message{
		`{"t":"pong"}`: {Type: "pong"},
		` {"a" : 42,"t": "ack" , "room":"k3","to":"2","kind":"offer","id":4294967295,"d": {"sdp":"x"} }` + "\n": {
			Type: "ack", Ack: 42, Room: "k3", To: "2", Kind: "offer", ID: 1<<32 - 1, D: []byte(`{"sdp":"x"}`)},
		`{"t":"x","d":null}`:                                          {Type: "x", D: []byte(`null`)},
		`{"t":"x","a":18446744073709551615}`:                          {Type: "x", Ack: 1<<64 - 1},
		`{"\u0074":"\u0063hat","r\u006fom":"\ud83d\ude00\/\n\ud800"}`: {Type: "chat", Room: "😀/\n\ufffd"},
		`{"t":"x","T":"y","Id":7,"seq":"z","from":1}`:                 {Type: "x"}, // other keys than ours
		`{"t":"x","a":00}`:                                            {},          // refused: see below
	} {
		got, err := Decode([]byte(text))
		if want.Type == "" {
			if err == nil {
				t.Errorf("%s: accepted", text)
			}
			continue
		}
		want.Size = len(text)
		if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", text, got, err, want)
		}
	}
}

func TestDecodeDepth(t *testing.T) {
	for _, c := range []struct{ open, shut string }{{`[`, `]`}, {`{"a":`, `}`}} {
		for depth, ok := range map[int]bool{MaxDepth - 2: true, MaxDepth - 1: false, 10_000: false} {
			inner := strings.Repeat(c.open, depth) + `1` + strings.Repeat(c.shut, depth)
			for _, text := range []string{`{"t":"x","d":{"b":` + inner + `}}`, `{"t":"x","y":[` + inner + `]}`} {
				if _, err := Decode([]byte(text)); (err == nil) != ok {
					t.Errorf("%s, %d deep in %.12s: %v", c.open, depth, text, err)
				}
			}
		}
	}
}

// TestDecodeManyKeys: keys that occur twice are found among any number, in time
// that grows with the text only.
func TestDecodeManyKeys(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"t":"x"`)
	for n := range 6000 {
		fmt.Fprintf(&b, `,"%d":0`, n)
	}
	begin := time.Now()
	if _, err := Decode([]byte(b.String() + `}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := Decode([]byte(b.String() + `,"0":0}`)); err == nil {
		t.Fatal("a key occurs twice")
	}
	if d := time.Since(begin); d > time.Second {
		t.Errorf("took %v", d)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	var d Decoder
	for _, text := range []string{
		`{"t":"signal","room":"k3k3k3k3k3k3k3k3k3k3","to":"2","kind":"candidate","a":12,"d":{"candidate":{"candidate":"x"}}}`,
		`{"t":"ack","a":42}`, `{"t":"pong"}`,
	} {
		b := []byte(text)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := d.Decode(b); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

func TestDecoderRemembersOnlyWhatIsThere(t *testing.T) {
	var d Decoder
	b := []byte(`{"t":"signal","room":"one","to":"1"}`)
	first, err := d.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	copy(b, `{"t":"signal","room":"two","to":"2"}`)
	second, err := d.Decode(b)
	if err != nil || first.Room != "one" || first.To != "1" || second.Room != "two" || second.To != "2" {
		t.Fatalf("%+v %+v %v", first, second, err)
	}
	third, err := d.Decode([]byte(`{"t":"signal"}`))
	if err != nil || third.Room != "" || third.To != "" {
		t.Fatalf("%+v %v", third, err)
	}
}

func TestUnmarshal(t *testing.T) {
	for d, want := range map[string]string{
		``:     `{}`,
		`null`: `{}`,
		`{"pool":"video","tags":["a"],"strict":true,"future":[{}]}`: `{"pool":"video","tags":["a"],"strict":true}`,
		`{"POOL":"x","Strict":true,"po\u006fl":"y"}`:                `{"pool":"y"}`,
		`{"ſtrict":true,"pool":"z"}`:                                `{"pool":"z"}`, // folds to s in encoding/json
		`{"pool":"a","pool":"b"}`:                                   `bad_request: d: a key occurs twice`,
		`{"pool":"a","\u0070ool":"b"}`:                              `bad_request: d: a key occurs twice`,
		`{"pool":1}`:                                                `bad_request: pool: wrong type or out of range`,
		`{"tags":["a",1]}`:                                          `bad_request: tags: wrong type or out of range`,
		`{"tags":null}`:                                             `{}`,
	} {
		m := Message{D: []byte(d)}
		var f Find
		got := ""
		if err := m.Unmarshal(&f); err != nil {
			got = err.Error()
		} else if b, err := json.Marshal(f); err == nil {
			got = string(b)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
	m := Message{D: []byte(`{"limit":99999999999999999999}`)}
	if err := m.Unmarshal(&ChatQuery{}); CodeOf(err) != CodeBadRequest || !strings.Contains(err.Error(), "limit") {
		t.Error(err)
	}
}

func TestAppend(t *testing.T) {
	odd := "a\"\\\x00\n\x1f\x7f\u2028é\xff<"
	push := AppendPush([]byte("x"), Push{Type: "signal", Seq: 42, Room: RoomID(odd), From: "2", Kind: "offer", D: []byte(`{"sdp":"v"}`)})
	if want := `x{"t":"signal","seq":42,"room":"a\"\\\u0000\u000a\u001f` + "\x7f\u2028é\ufffd" + `<","from":"2","kind":"offer","d":{"sdp":"v"}}`; string(push) != want {
		t.Errorf("got  %s\nwant %s", push, want)
	}
	if got := AppendPush(nil, Push{Type: "ping"}); string(got) != `{"t":"ping"}` {
		t.Errorf("%s", got)
	}
	ok, err := AppendOK([]byte("x"), 7, "", Typing{On: true})
	if want := `x{"t":"ok","id":7,"d":{"on":true}}`; string(ok) != want || err != nil {
		t.Errorf("%s, %v", ok, err)
	}
	ok, err = AppendOK(nil, 0, TypeWelcome, map[string]string{"a": "<&>"})
	if want := `{"t":"welcome","d":{"a":"<&>"}}`; string(ok) != want || err != nil {
		t.Errorf("%s, %v", ok, err)
	}
	if ok, err = AppendOK([]byte("x"), 1, "", func() {}); string(ok) != "x" || err == nil {
		t.Errorf("%s, %v", ok, err)
	}
	fail := AppendErr(nil, 9, &Error{Code: CodeRateLimited, Msg: odd, Retry: 1500*time.Microsecond + 1})
	var back struct {
		T  string
		ID uint32
		E  WireError
	}
	if err := json.Unmarshal(fail, &back); err != nil || back.T != "err" || back.ID != 9 || back.E.Code != CodeRateLimited || back.E.RetryMS != 2 || back.E.Msg != strings.ToValidUTF8(odd, "\ufffd") {
		t.Errorf("%s: %+v, %v", fail, back, err)
	}
	if got := AppendErr(nil, 0, &Error{Code: "x", Msg: "y"}); string(got) != `{"t":"err","e":{"code":"x","msg":"y"}}` {
		t.Errorf("%s", got)
	}
}

func TestDecodeErrors(t *testing.T) {
	if _, err := Decode([]byte("{\"t\":\"\xff\"}")); !errors.Is(err, ErrUTF8) {
		t.Error(err)
	}
	_, err := Decode([]byte(`{"t":"x"}}`))
	if me, ok := errors.AsType[*MalformedError](err); !ok || me.Reason != "text after the object" || !strings.Contains(err.Error(), me.Reason) {
		t.Error(err)
	}
}

// offer is a client's message with an SDP of so many bytes.
func offer(size int) []byte {
	return []byte(`{"t":"signal","room":"k3k3k3k3k3k3k3k3k3k3","kind":"offer","d":{"sdp":"` + strings.Repeat(`v=0 a line of an SDP, some fifty characters long\r\n`, size/52) + `"}}`)
}

// relay reads a client's message and appends what its partner gets.
func relay(d *Decoder, dst, text []byte) ([]byte, error) {
	m, err := d.Decode(text)
	return AppendPush(dst, Push{Type: m.Type, Seq: 1, Room: m.Room, From: "1", Kind: m.Kind, D: m.D}), err
}

// BenchmarkRelayed: an envelope read and the next one written, beside encoding/json with d
// as it came. Both in turns.
func BenchmarkRelayed(b *testing.B) {
	type in struct {
		T    string          `json:"t"`
		Room string          `json:"room"`
		Kind string          `json:"kind"`
		D    json.RawMessage `json:"d"`
	}
	type out struct {
		in
		Seq  uint64 `json:"seq"`
		From string `json:"from"`
	}
	for _, size := range []int{500, 12_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			text, buf := offer(size), make([]byte, 0, size+256)
			var d Decoder
			var ratios []float64
			for b.Loop() {
				const turn = 50
				began := time.Now()
				for range turn {
					if _, err := relay(&d, buf, text); err != nil {
						b.Fatal(err)
					}
				}
				ours := time.Since(began)
				began = time.Now()
				for range turn {
					var v in
					if err := json.Unmarshal(text, &v); err != nil {
						b.Fatal(err)
					}
					if _, err := json.Marshal(out{v, 1, "1"}); err != nil {
						b.Fatal(err)
					}
				}
				ratios = append(ratios, ours.Seconds()/time.Since(began).Seconds())
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
			b.ReportMetric(ratios[len(ratios)/10], "ratio-p10")
			b.ReportMetric(ratios[len(ratios)*9/10], "ratio-p90")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, size := range []int{500, 12_000} {
		text := offer(size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			var d Decoder
			for range b.N {
				if _, err := d.Decode(text); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprint("encoding/json/", size), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for range b.N {
				var v struct {
					T string          `json:"t"`
					D json.RawMessage `json:"d"`
				}
				if err := json.Unmarshal(text, &v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

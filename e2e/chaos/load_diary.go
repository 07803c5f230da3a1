package chaos

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// part is what a person of the load does.
type part int

const (
	caller  part = iota // in a matched room
	grouped             // in a named room
	waiter              // searches for a counterpart that has not asked yet
	late                // is that counterpart
)

// stream is a kind of messages.
type stream int

const (
	signals stream = iota
	chats
	streams
)

func (s stream) String() string { return [...]string{"signal", "chat"}[s] }

// message is one that was sent or came. Its text is "name/n"; n rises by one with
// each message of its sender in the stream.
type message struct {
	at    time.Duration // sent, or came
	from  string
	n     int
	off   uint64        // of chat that was acknowledged or came
	took  time.Duration // sent: until the answer; 0: there was none
	err   string        // sent: the server's no
	state bool          // came with a resync and not as a push
}

func (m message) text() string { return fmt.Sprintf("%s/%d", m.from, m.n) }

// readText takes a message's text apart.
func readText(text string) message {
	name, n, _ := strings.Cut(text, "/")
	i, err := strconv.Atoi(n)
	if err != nil {
		return message{from: fmt.Sprintf("%q", text)} // nobody's
	}
	return message{from: name, n: i}
}

// meeting is a match that was told.
type meeting struct {
	at     time.Duration
	room   string
	you    string
	peer   string        // name
	waited time.Duration // as the server says
}

// moment is a socket that came or went.
type moment struct {
	at  time.Duration
	why string
}

// diary is what one person of the load did and saw. Times are since the start of
// the run.
type diary struct {
	name  string
	part  part
	seats map[string]string // names of all in the room by seat, this one's too
	you   string            // seat
	room  string
	sid   string // when the load stood
	local bool   // all of the room were at one node then

	asked time.Duration // waiter and late: when the search was begun
	mate  string        // waiter and late: whom to meet

	sent [streams][]message
	got  [streams][]message
	met  []meeting // after the load stood

	downs, ups []moment
	away       map[string]bool // seats of which "reconnecting" was told last
	news       []moment        // of those
	bad        []string        // what no person should see: another room, a lost session, peer.left
	endSID     string
}

// verdict is what the diaries of a run come to.
type verdict struct {
	held      int // people
	resumed   []time.Duration
	sent      int // acknowledged
	due       int // deliveries of what was acknowledged
	lost      int
	doubled   int
	disorder  int
	strays    int // from outside the room, or under another's name
	forks     int
	refused   int // requests that got a no
	silent    int // requests without an answer
	undone    int // matches
	ghosts    int // matches told to one side, or with somebody else
	met       []time.Duration
	found     []string      // every violation in words
	slowest   time.Duration // answer
	slowLocal time.Duration // answer to a signal in a room of one node
}

func (v *verdict) add(count *int, format string, args ...any) {
	*count++
	v.found = append(v.found, fmt.Sprintf(format, args...))
}

// judge reads all diaries. back is when the service was well again.
func judge(all []*diary, back time.Duration) *verdict {
	v := &verdict{held: len(all)}
	by := map[string]*diary{}
	for _, d := range all {
		by[d.name] = d
	}
	for _, d := range all {
		v.person(d)
		for s := range streams {
			v.stream(d, s, by)
		}
		v.log(d, by)
		if d.part == waiter || d.part == late {
			v.match(d, by[d.mate], back)
		}
	}
	return v
}

// person checks what concerns one person alone.
func (v *verdict) person(d *diary) {
	var none int
	for _, b := range d.bad {
		v.add(&v.undone, "%s: %s", d.name, b)
	}
	if d.sid != d.endSID {
		v.add(&none, "%s: session %s became %s", d.name, d.sid, d.endSID)
	}
	if len(d.ups) != len(d.downs) {
		v.add(&none, "%s: %d sockets lost, %d resumed: %v", d.name, len(d.downs), len(d.ups), d.downs)
	}
	for i := range min(len(d.ups), len(d.downs)) {
		v.resumed = append(v.resumed, d.ups[i].at-d.downs[i].at)
	}
	for seat, away := range d.away {
		if away {
			v.add(&none, "%s still thinks that seat %s reconnects: %v", d.name, seat, d.news)
		}
	}
	for s := range streams {
		for _, m := range d.sent[s] {
			switch {
			case m.err != "":
				v.refused++
			case m.took == 0:
				v.add(&v.silent, "%s: no answer to %v %s of %v", d.name, s, m.text(), m.at)
			default:
				v.sent++
				v.slowest = max(v.slowest, m.took)
				if d.local && s == signals {
					v.slowLocal = max(v.slowLocal, m.took)
				}
			}
		}
	}
}

// stream checks what reached d from each of the others: each message once, in
// order, and all that was acknowledged.
func (v *verdict) stream(d *diary, s stream, by map[string]*diary) {
	last, have := map[string]int{}, map[string]bool{}
	for _, m := range d.got[s] {
		from := by[m.from]
		switch {
		case from == nil || from.room != d.room || d.room == "" || s == signals && from == d:
			v.add(&v.strays, "%s got %v %s at %v, which is not for it", d.name, s, m.text(), m.at)
		case have[m.text()]:
			v.add(&v.doubled, "%s got %v %s twice, again at %v", d.name, s, m.text(), m.at)
		case m.n < last[m.from]:
			v.add(&v.disorder, "%s got %v %s after %d at %v", d.name, s, m.text(), last[m.from], m.at)
		}
		have[m.text()] = true
		last[m.from] = max(last[m.from], m.n)
	}
	for _, name := range d.seats {
		if by[name] == nil || s == signals && name == d.name {
			continue
		}
		for _, m := range by[name].sent[s] {
			if m.err != "" || m.took == 0 {
				continue
			}
			v.due++
			if !have[m.text()] {
				v.add(&v.lost, "%s never got %v %s of %v, acknowledged after %v", d.name, s, m.text(), m.at, m.took)
			}
		}
	}
}

// log checks that the room's chat is one: what a number stands for, and that it
// is what the sender was told.
func (v *verdict) log(d *diary, by map[string]*diary) {
	at, last := map[uint64]string{}, uint64(0)
	for _, m := range d.got[chats] {
		if old, ok := at[m.off]; ok && old != m.text() {
			v.add(&v.forks, "%s: number %d of the chat is %s and %s", d.name, m.off, old, m.text())
		}
		if m.off < last && !m.state {
			v.add(&v.disorder, "%s: number %d of the chat after %d at %v", d.name, m.off, last, m.at)
		}
		at[m.off] = m.text()
		last = max(last, m.off)
	}
	for _, name := range d.seats {
		if by[name] == nil {
			continue
		}
		for _, m := range by[name].sent[chats] {
			if got, ok := at[m.off]; m.off != 0 && ok && got != m.text() {
				v.add(&v.forks, "%s: number %d of the chat is %s, and %s was told that it is %s", d.name, m.off, got, name, m.text())
			}
		}
	}
}

// placeSlack is what a wait that the server tells may be shorter than the one
// that the waiter saw.
const placeSlack = 1500 * time.Millisecond

// match checks that who waited, or came late, met its counterpart and nobody
// else, with the whole time that it waited.
func (v *verdict) match(d, mate *diary, back time.Duration) {
	var none int
	if d.part == waiter && len(d.met) == 0 {
		v.add(&none, "%s waits in vain for %s", d.name, d.mate)
	}
	for i, m := range d.met {
		same := func(o meeting) bool { return o.room == m.room && o.you != m.you }
		switch {
		case i > 0:
			v.add(&v.ghosts, "%s was matched again at %v, with %s", d.name, m.at, m.peer)
		case m.peer != d.mate || !slices.ContainsFunc(mate.met, same):
			v.add(&v.ghosts, "%s was matched with %s at %v, and %s was told %v", d.name, m.peer, m.at, d.mate, mate.met)
		case m.at < mate.asked:
			v.add(&v.ghosts, "%s was matched at %v with %s, who asked at %v", d.name, m.at, m.peer, mate.asked)
		case d.part == waiter && m.waited < m.at-d.asked-placeSlack:
			v.add(&none, "%s lost its place: waits since %v, was told %v at %v", d.name, d.asked, m.waited, m.at)
		}
		if d.part == late && i == 0 {
			v.met = append(v.met, m.at-max(back, d.asked))
		}
	}
}

// spread is the median, the 99th percentile and the greatest of some times.
func spread(d []time.Duration) (p50, p99, most time.Duration) {
	if len(d) == 0 {
		return 0, 0, 0
	}
	d = slices.Sorted(slices.Values(d))
	n := len(d)
	return d[n/2], d[min(n-1, n*99/100)], d[n-1]
}

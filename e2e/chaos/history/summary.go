package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Summary counts what happened in a run: a row of the table in docs/reliability.md.
type Summary struct {
	Clients, Sessions int // clients that lived; sessions they had
	Matches           int // rooms of which both were told
	Undone            int // rooms of which one was told, and then that it is over
	Resumed           int
	Lost              int              // sessions
	Back              [3]time.Duration // from the lost socket to resumed: p50, p99, most
	Waited            [3]time.Duration // from asking to matched: p50, p99, most
	Refused           int              // searches answered with an error or stopped
	Signals, Chats    int              // acknowledged
	Received          int              // signals and chat messages
	Excused           int              // of the acknowledged: lost in a fault that promises nothing yet
	Broken            map[Rule]int
}

// Summary checks the run and counts.
func (r *Run) Summary() (Summary, []Violation) {
	k := newChecker(r)
	s := Summary{Clients: len(k.clients), Excused: k.lost, Broken: map[Rule]int{}}
	for _, v := range k.found {
		s.Broken[v.Rule]++
	}
	var back, waited []time.Duration
	for _, c := range k.clients {
		s.count(c.log)
		back = append(back, c.backs...)
		for _, q := range c.searches {
			if q.found {
				waited = append(waited, q.to-q.from)
			}
		}
	}
	for _, stays := range k.rooms {
		switch {
		case len(stays) == 2:
			s.Matches++
		case stays[0].undone:
			s.Undone++
		}
	}
	s.Back, s.Waited = percentiles(back), percentiles(waited)
	return s, k.found
}

func (s *Summary) count(l *Log) {
	for _, e := range l.Events {
		switch e.Kind {
		case Hello:
			s.Sessions++
		case Up:
			s.Resumed++
		case Lost:
			s.Lost++
			s.Sessions++
		case AskNo, Stopped:
			s.Refused++
		case SendOK:
			s.Signals++
		case SayOK:
			s.Chats++
		case Got, Heard:
			s.Received++
		}
	}
}

// percentiles returns the median, the 99th percentile and the greatest.
func percentiles(d []time.Duration) (p [3]time.Duration) {
	if len(d) == 0 {
		return p
	}
	slices.Sort(d)
	n := len(d)
	return [3]time.Duration{d[n/2], d[min(n-1, n*99/100)], d[n-1]}
}

func (s Summary) String() string {
	var b strings.Builder
	ms := func(p [3]time.Duration) string {
		return fmt.Sprintf("p50 %v p99 %v max %v", p[0].Round(time.Millisecond), p[1].Round(time.Millisecond), p[2].Round(time.Millisecond))
	}
	fmt.Fprintf(&b, "%d clients, %d sessions; %d matches, %d undone, %d searches refused; waited %s\n",
		s.Clients, s.Sessions, s.Matches, s.Undone, s.Refused, ms(s.Waited))
	fmt.Fprintf(&b, "%d resumed (%s), %d sessions lost\n", s.Resumed, ms(s.Back), s.Lost)
	fmt.Fprintf(&b, "%d signal batches and %d chat messages acknowledged, %d received, %d lost where nothing is promised yet; broken: %v",
		s.Signals, s.Chats, s.Received, s.Excused, s.Broken)
	return b.String()
}

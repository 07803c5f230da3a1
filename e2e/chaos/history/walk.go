package history

import "time"

// forever is the end of what did not end.
const forever = time.Duration(1<<63 - 1)

// span is a stretch of time.
type span struct{ from, to time.Duration }

// stay is a client's time in a room.
type stay struct {
	client   *client
	room     string
	peer     string
	seat     string
	offerer  bool
	from     time.Duration
	quit     time.Duration // began to leave, or was told that it is over
	to       time.Duration // certainly out: the leave was answered
	why      Kind
	undone   bool // ended by the service: PeerLeft, Closed, Lost
	resynced bool // pushes of this stay may have been lost and replaced by a state

	got   map[string]time.Duration // signals
	heard map[string]hearing       // chat, also by a state
	last  map[string]int           // newest signal of a sender
	off   uint64
}

// hearing is how a chat message came.
type hearing struct {
	off uint64
	at  time.Duration
}

// search is a stretch in which a client can be matched.
type search struct {
	client *client
	span
	asked time.Duration // the request that began it
	found bool
}

// client is a log taken apart.
type client struct {
	log      *Log
	stays    []*stay
	searches []*search
	downs    []span // without a working socket, noticed or not; to forever: never came back
	backs    []time.Duration
	end      time.Duration
	endKind  Kind
}

func (c *client) dead() bool { return c.endKind == Gone || c.endKind == Bye }

// isDown reports whether the client had no socket in all of s.
func (c *client) isDown(s span) bool {
	for _, d := range c.downs {
		if d.from <= s.from && s.to <= d.to {
			return true
		}
	}
	return false
}

// walker replays one log and checks what one client alone can see.
type walker struct {
	k *checker
	c *client

	stay    *stay
	past    map[string]*stay // by room
	search  *search
	asking  bool // a request to search has no answer yet: it may be executed any time
	paused  bool // searching, but the socket is lost
	asked   time.Duration
	node    string
	down    time.Duration // since when there is no working socket; -1: there is one
	noticed time.Duration // when the client found out
	mended  time.Duration
	broken  bool // by the plan
	quitted time.Duration
}

func (k *checker) walk(l *Log) *client {
	w := &walker{k: k, c: &client{log: l}, past: map[string]*stay{}, down: -1}
	for i := range l.Events {
		w.event(&l.Events[i])
	}
	w.finish()
	return w.c
}

// finish ends what the log left open.
func (w *walker) finish() {
	if n := len(w.c.log.Events); n > 0 && w.c.endKind == "" {
		w.c.end, w.c.endKind = w.c.log.Events[n-1].At, End
	}
	w.leave(w.c.end, w.c.end, w.c.endKind)
	w.stopSearch(w.c.end, false)
	if w.down >= 0 {
		w.c.downs = append(w.c.downs, span{w.down, forever})
	}
}

func (w *walker) event(e *Event) {
	w.answered(e)
	switch e.Kind {
	case Hello:
		w.node = e.Node
	case Down, Up, Lost, Resync, Cut, Mended:
		w.link(e)
	case Gone, Bye, End:
		w.c.end, w.c.endKind = e.At, e.Kind
	case Ask:
		w.asked, w.asking = e.At, true
		w.startSearch(e.At)
	case AskOK:
		w.asking = false
	case AskNo, Stopped:
		w.asking = w.asking && e.Kind == Stopped
		w.stopSearch(e.At, false)
	case Told:
		w.told(e)
	case Quit:
		w.quitted = e.At
		if w.stay != nil {
			w.stay.quit = e.At
		}
	case QuitOK:
		w.quitOK(e)
	case PeerLeft, Closed:
		if w.stay != nil && w.stay.room == e.Room {
			w.stay.undone = true
			w.leave(min(w.stay.quit, e.At), e.At, e.Kind)
		}
	case Got:
		w.got(e)
	case Heard:
		w.heard(e)
	case Pages:
		w.k.page(w, e)
	}
}

// quitOK: a match found between the quit and its answer was left, too, unless
// the quit began a new search.
func (w *walker) quitOK(e *Event) {
	if w.stay != nil && (w.stay.room == e.Room || w.asked < w.quitted) {
		w.leave(min(w.stay.quit, e.At), e.At, QuitOK)
	}
	if w.asked < w.quitted {
		w.stopSearch(e.At, false)
	}
}

func (w *walker) leave(quit, to time.Duration, why Kind) {
	if s := w.stay; s != nil {
		s.quit, s.to, s.why = min(quit, s.quit), to, why
		w.stay = nil
	}
}

func (w *walker) startSearch(at time.Duration) {
	w.stopSearch(at, false)
	w.search = &search{client: w.c, span: span{at, forever}, asked: w.asked}
	w.c.searches = append(w.c.searches, w.search)
}

func (w *walker) stopSearch(at time.Duration, found bool) {
	if w.search != nil {
		w.search.to, w.search.found = at, found
	}
	w.search, w.paused = nil, false
}

// link follows the socket.
func (w *walker) link(e *Event) {
	switch e.Kind {
	case Cut:
		w.broken = true
		w.off(e.At)
	case Mended:
		w.broken, w.mended = false, e.At
	case Down:
		w.noticed = e.At
		w.off(e.At)
	case Up, Lost:
		w.back(e)
	case Resync:
		w.resync(e)
	}
}

// off takes in that the socket is of no use any more.
func (w *walker) off(at time.Duration) {
	if w.down >= 0 {
		return
	}
	w.down = at
	w.paused = w.search != nil
	if w.search != nil {
		w.search.to = at
	}
}

func (w *walker) back(e *Event) {
	began := w.down
	if began >= 0 {
		w.c.downs = append(w.c.downs, span{began, e.At})
		since := max(w.noticed, w.mended)
		w.c.backs = append(w.c.backs, e.At-since)
		if took := e.At - w.k.clear(since); took > w.k.run.Expect.Back && !w.broken {
			w.k.add(RuleBack, e.At, "%s: back only %v after link and service were well", w.c.log.Name, took)
		}
	}
	w.down = -1
	if e.Kind == Lost {
		if !w.k.mayLose(w.node, began, e.At) {
			w.k.add(RuleSession, e.At, "%s: the session on %s was gone after %v", w.c.log.Name, w.node, e.At-began)
		}
		if w.stay != nil {
			w.stay.undone = true
		}
		w.leave(e.At, e.At, Lost)
		w.stopSearch(e.At, false)
	} else if w.paused {
		asked := w.search.asked
		w.startSearch(e.At)
		w.search.asked = asked
	}
	w.node = e.Node
}

func (w *walker) resync(e *Event) {
	if w.stay != nil && w.stay.room != e.Room {
		wanted := w.stay.quit == forever
		w.stay.undone = true
		w.leave(e.At, e.At, Resync)
		if wanted && e.Searching { // the match died with the node that told of it, and the search goes on
			w.startSearch(e.At)
		}
	}
	if e.Room != "" && w.stay == nil {
		w.told(e)
	}
	if w.stay != nil {
		w.stay.resynced = true
		for _, m := range e.Page {
			w.stay.heard[m.ID] = hearing{m.Off, e.At}
			w.stay.off = max(w.stay.off, m.Off)
		}
	}
	if !e.Searching && !w.asking {
		w.stopSearch(e.At, false)
	}
}

func (w *walker) told(e *Event) {
	name := w.c.log.Name
	if _, again := w.past[e.Room]; again {
		w.k.add(RuleAgain, e.At, "%s was told twice of room %s", name, e.Room)
		return
	}
	if w.stay != nil {
		if w.stay.quit == forever {
			w.k.add(RuleTwoRooms, e.At, "%s was matched in %s while in %s", name, e.Room, w.stay.room)
		}
		w.leave(e.At, e.At, Told)
	}
	if w.search == nil {
		w.k.add(RuleUnasked, e.At, "%s was matched in %s without a search", name, e.Room)
	}
	s := &stay{client: w.c, room: e.Room, peer: e.Peer, seat: e.Seat, offerer: e.Offerer, from: e.At, quit: forever, to: forever,
		got: map[string]time.Duration{}, heard: map[string]hearing{}, last: map[string]int{}}
	w.k.ghost(w, s)
	w.stopSearch(e.At, true)
	w.stay, w.past[e.Room] = s, s
	w.c.stays = append(w.c.stays, s)
}

// within returns the stay that a payload belongs to, nil if there is none.
func (w *walker) within(e *Event) *stay {
	s := w.past[e.Room]
	if s == nil || s != w.stay && e.At > s.to+w.k.run.Expect.Slack {
		w.k.add(RuleOutside, e.At, "%s got %s of room %s, which it is not in", w.c.log.Name, e.ID, e.Room)
		return nil
	}
	name, room, _, ok := parseID(e.ID)
	switch {
	case !ok:
		w.k.add(RuleForged, e.At, "%s got %q", w.c.log.Name, e.ID)
		return nil
	case room != e.Room:
		w.k.add(RuleOutside, e.At, "%s got %s in room %s", w.c.log.Name, e.ID, e.Room)
		return nil
	case (name == w.c.log.Name) != (e.Seat == s.seat) || name != w.c.log.Name && name != s.peer:
		w.k.add(RuleForged, e.At, "%s (seat %s, with %s) got %s from seat %s", w.c.log.Name, s.seat, s.peer, e.ID, e.Seat)
	}
	return s
}

func (w *walker) got(e *Event) {
	s := w.within(e)
	if s == nil {
		return
	}
	name, _, n, _ := parseID(e.ID)
	_, twice := s.got[e.ID]
	switch {
	case twice:
		w.k.add(RuleDouble, e.At, "%s got %s twice", w.c.log.Name, e.ID)
	case n < s.last[name]:
		w.k.add(RuleOrder, e.At, "%s got %s after number %d", w.c.log.Name, e.ID, s.last[name])
	}
	s.got[e.ID] = e.At
	s.last[name] = max(n, s.last[name])
}

func (w *walker) heard(e *Event) {
	s := w.within(e)
	if s == nil {
		return
	}
	_, twice := s.heard[e.ID]
	switch {
	case twice:
		w.k.add(RuleDouble, e.At, "%s heard %s twice", w.c.log.Name, e.ID)
	case e.Off <= s.off:
		w.k.add(RuleOrder, e.At, "%s heard number %d after %d in %s", w.c.log.Name, e.Off, s.off, e.Room)
	}
	s.heard[e.ID] = hearing{e.Off, e.At}
	s.off = max(s.off, e.Off)
}

// answered checks how long an answer took, without the time in which there was
// no socket or a fault that stops answers.
func (w *walker) answered(e *Event) {
	if e.Took == 0 {
		return
	}
	s := span{e.At - e.Took, e.At}
	took := e.Took - overlap(s, w.c.downs) - overlap(s, w.k.stops)
	if w.down >= 0 {
		took -= overlap(s, []span{{w.down, forever}})
	}
	if took > w.k.run.Expect.Answer {
		w.k.add(RuleAnswer, e.At, "%s: %s %s came after %v", w.c.log.Name, e.Kind, e.Err, took)
	}
}

// overlap is how much of s lies in spans, which do not overlap one another.
func overlap(s span, spans []span) time.Duration {
	var sum time.Duration
	for _, o := range spans {
		sum += max(0, min(s.to, o.to)-max(s.from, o.from))
	}
	return sum
}

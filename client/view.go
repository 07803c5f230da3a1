package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// ViewOptions say what a View keeps. The zero value is the newest messages.
type ViewOptions struct {
	Page int // messages that are asked for at once; 0: 50
	Keep int // messages that are kept, the newest; 0: 5,000, negative: all
}

// View is a conversation as this client sees it, kept up to date: it applies events, asks for what is missing, and opens the
// conversation again after a new socket. Pushes of its conversation do not come as events of the client. Its methods may be called
// from any goroutine.
type View struct {
	Conversation
	opts    ViewOptions
	changed chan struct{}

	mu       sync.Mutex
	once     bool   // it was opened
	ready    bool   // it is, and not to be read afresh
	gone     bool   // it is no more, or not for this user
	shut     bool   // Close was called
	asking   bool   // what changed is asked for
	seq      uint64 // all up to here is known
	high     uint64 // something up to here was heard of
	from     uint64 // messages before this one are not kept; 0: all are
	conv     protocol.Conversation
	me       protocol.UserID
	messages map[uint64]protocol.ConvMessage
	people   map[protocol.UserID]protocol.ConvPerson
	here     protocol.ConvPresence
	typing   map[protocol.UserID]time.Time
	drafts   []Draft
	early    []protocol.ConvEvent // came before the answer to open
}

// Draft is a message that has no place yet.
type Draft struct {
	protocol.ConvSend
	Err error // why the server did not take it; nil: it is on its way
}

// maxEarly bounds what may come before the answer to open; what is beyond is asked for.
const maxEarly = 256

// View opens the conversation and returns it. One client has one View of a conversation at a time.
func (v Conversation) View(ctx context.Context, o ViewOptions) (*View, error) {
	o.Page, o.Keep = cmp.Or(o.Page, 50), cmp.Or(o.Keep, 5000)
	w := &View{Conversation: v, opts: o, changed: make(chan struct{}, 1), me: v.c.Welcome().User.ID}
	v.c.mu.Lock()
	if v.c.views == nil {
		v.c.views = map[protocol.RoomID]*View{}
	}
	v.c.views[v.Room] = w
	v.c.mu.Unlock()
	d, err := v.c.request(ctx, v.envelope(protocol.TypeConvOpen), protocol.ConvOpen{Limit: o.Page}, w.opened)
	if err == nil {
		_, err = decode[protocol.ConvOpened](d)
	}
	if err != nil {
		w.forget()
		return nil, err
	}
	return w, nil
}

// Close follows the conversation no more.
func (v *View) Close(ctx context.Context) error {
	v.forget()
	return v.Conversation.Close(ctx)
}

func (v *View) forget() {
	v.mu.Lock()
	v.shut = true
	v.mu.Unlock()
	v.c.mu.Lock()
	defer v.c.mu.Unlock()
	if v.c.views[v.Room] == v {
		delete(v.c.views, v.Room)
	}
}

// Changed has a value after something changed.
func (v *View) Changed() <-chan struct{} { return v.changed }

func (v *View) note() {
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// Seq is up to which change all is known.
func (v *View) Seq() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.seq
}

// Removed reports whether the conversation is no more, or not for this user.
func (v *View) Removed() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.gone
}

// Settings returns the conversation's own.
func (v *View) Settings() protocol.Conversation {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.conv
}

// Messages returns those that are kept, oldest first; older: there are some before them.
func (v *View) Messages() (all []protocol.ConvMessage, older bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	all = slices.SortedFunc(maps.Values(v.messages), func(a, b protocol.ConvMessage) int { return cmp.Compare(a.Seq, b.Seq) })
	return all, v.from > 0
}

// Message returns one that is kept.
func (v *View) Message(seq uint64) (protocol.ConvMessage, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m, ok := v.messages[seq]
	return m, ok
}

// People returns the members that are known, by id: in a topic the owner, moderators and who changed lately.
func (v *View) People() map[protocol.UserID]protocol.ConvPerson {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.people)
}

// Presence returns who is here.
func (v *View) Presence() protocol.ConvPresence {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.here
}

// Writing returns who types just now.
func (v *View) Writing() []protocol.UserID {
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.DeleteFunc(v.typing, func(_ protocol.UserID, until time.Time) bool { return time.Now().After(until) })
	return slices.Sorted(maps.Keys(v.typing))
}

// Drafts returns what was sent and has no place yet, in that order.
func (v *View) Drafts() []Draft {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.drafts)
}

// Older has a page of messages before those that are kept, which stay as long as the view does. It reports whether there are more.
func (v *View) Older(ctx context.Context) (more bool, err error) {
	v.mu.Lock()
	from := v.from
	v.mu.Unlock()
	if from == 0 {
		return false, nil
	}
	page, err := v.History(ctx, protocol.ConvHistoryQuery{Before: from, Limit: v.opts.Page})
	if err != nil {
		return true, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.from != from {
		return v.from > 0, nil // read afresh, or asked for twice
	}
	if v.opts.Keep > 0 {
		v.opts.Keep += len(page.Messages)
	}
	v.historyLocked(page)
	v.note()
	return v.from > 0, nil
}

// historyLocked takes a page that goes on where the kept messages begin.
func (v *View) historyLocked(h protocol.ConvHistory) {
	v.from = 0
	for _, m := range h.Messages {
		v.messageLocked(m)
	}
	if h.Older && len(h.Messages) > 0 {
		v.from = h.Messages[0].Seq
	}
}

// Send writes a message and waits until it has its place. It is one of the Drafts until then, and is sent again, with the same
// CID, as long as the server cannot say; after a no it stays there with the error, until Discard.
func (v *View) Send(ctx context.Context, s protocol.ConvSend) (protocol.ConvSent, error) {
	if s.CID == "" {
		s.CID = v.c.newCID()
	}
	v.mu.Lock()
	v.drafts = append(slices.DeleteFunc(v.drafts, func(d Draft) bool { return d.CID == s.CID }), Draft{ConvSend: s})
	v.mu.Unlock()
	v.note()
	for {
		sent, err := v.Conversation.Send(ctx, s)
		wait, again := retryIn(err)
		if errors.Is(err, ErrSessionLost) || errors.Is(err, ErrBusy) {
			wait, again = 200*time.Millisecond, true
		}
		if err == nil || !again {
			v.sent(s.CID, sent, err)
			return sent, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			v.sent(s.CID, sent, ctx.Err())
			return sent, ctx.Err()
		}
	}
}

func (v *View) sent(cid string, s protocol.ConvSent, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	defer v.note()
	if err == nil {
		v.messageLocked(s.Message)
		v.placedLocked(cid)
		return
	}
	for i := range v.drafts {
		if v.drafts[i].CID == cid {
			v.drafts[i].Err = err
		}
	}
}

// Discard gives up a draft.
func (v *View) Discard(cid string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.placedLocked(cid)
	v.note()
}

func (v *View) placedLocked(cid string) {
	v.drafts = slices.DeleteFunc(v.drafts, func(d Draft) bool { return d.CID == cid })
}

// messageLocked keeps the message, if it is newer than what is kept of it.
func (v *View) messageLocked(m protocol.ConvMessage) {
	if m.Seq < v.from || m.Seq < v.conv.Oldest || !v.ready {
		return
	}
	if was, ok := v.messages[m.Seq]; ok && was.Rev >= m.Rev {
		return
	}
	v.messages[m.Seq] = m
	if m.From == v.me {
		v.placedLocked(m.CID)
	}
	if v.opts.Keep > 0 && len(v.messages) > v.opts.Keep+v.opts.Keep/4 {
		v.trimLocked()
	}
}

// trimLocked keeps the newest messages.
func (v *View) trimLocked() {
	all := slices.Sorted(maps.Keys(v.messages))
	v.from = all[len(all)-v.opts.Keep]
	maps.DeleteFunc(v.messages, func(seq uint64, _ protocol.ConvMessage) bool { return seq < v.from })
}

func (v *View) personLocked(p protocol.ConvPerson) {
	was, ok := v.people[p.ID]
	if ok {
		p.Delivered, p.Read = max(p.Delivered, was.Delivered), max(p.Read, was.Read)
		if was.Rev > p.Rev {
			was.Delivered, was.Read = p.Delivered, p.Read
			p = was
		}
	}
	v.people[p.ID] = p
}

func (v *View) settingsLocked(c protocol.Conversation) {
	if c.Rev < v.conv.Rev {
		return
	}
	v.conv = c
	maps.DeleteFunc(v.messages, func(seq uint64, _ protocol.ConvMessage) bool { return seq < c.Oldest })
}

// push takes what the server says of the conversation. It runs on the client's goroutine, as all below.
func (v *View) push(ev Event) {
	v.mu.Lock()
	again := false
	switch ev := ev.(type) {
	case ConvEvent:
		again = v.eventLocked(ev.ConvEvent)
	case ConvMarks:
		v.personMarksLocked(ev.ConvMarked)
	case ConvPresence:
		v.here = ev.ConvPresence
	case ConvTyping:
		if v.typing == nil {
			v.typing = map[protocol.UserID]time.Time{}
		}
		if delete(v.typing, ev.User); ev.On {
			v.typing[ev.User] = time.Now().Add(5 * time.Second)
		}
	case ConvRemoved:
		v.gone = true
	}
	v.mu.Unlock()
	v.note()
	if again {
		v.sync()
	}
}

func (v *View) personMarksLocked(m protocol.ConvMarked) {
	if p, ok := v.people[m.User]; ok {
		p.Delivered, p.Read = max(p.Delivered, m.Delivered), max(p.Read, m.Read)
		v.people[m.User] = p
	}
}

// eventLocked applies an event; true: something before it is missing.
func (v *View) eventLocked(e protocol.ConvEvent) (gap bool) {
	if !v.ready {
		if v.high = max(v.high, e.Seq); len(v.early) < maxEarly {
			v.early = append(v.early, e)
		}
		return false
	}
	v.high = max(v.high, e.Seq)
	switch {
	case e.Message != nil:
		v.messageLocked(*e.Message)
	case e.Person != nil:
		v.personLocked(*e.Person)
	case e.Conversation != nil:
		v.settingsLocked(*e.Conversation)
	}
	switch {
	case e.Seq <= v.seq:
	case e.Seq == v.seq+1, e.After != 0 && e.After <= v.seq:
		v.seq = e.Seq
	default:
		return true
	}
	return false
}

// opened takes the answer to conv.open.
func (v *View) opened(d json.RawMessage, err error) {
	if v.refused(err, v.reopen) {
		return
	}
	o, err := decode[protocol.ConvOpened](d)
	if err != nil {
		return // a server that is no server
	}
	v.mu.Lock()
	afresh := o.Sync != nil && o.Sync.Reset
	more := o.Sync != nil && (o.Sync.More || afresh)
	if !afresh {
		v.openedLocked(o)
		for _, e := range v.early {
			more = v.eventLocked(e) || more
		}
		v.early, more = nil, more || v.seq < v.high
	}
	v.gone = false
	v.mu.Unlock()
	v.note()
	switch {
	case afresh:
		v.afresh()
	case more:
		v.sync()
	}
}

func (v *View) openedLocked(o protocol.ConvOpened) {
	if o.History != nil { // all of it anew
		v.messages, v.people = map[uint64]protocol.ConvMessage{}, map[protocol.UserID]protocol.ConvPerson{}
		v.conv = protocol.Conversation{}
		v.once, v.ready, v.seq = true, true, min(o.History.Seq, o.Conversation.Seq)
		v.from = 0
		v.settingsLocked(o.Conversation)
		v.historyLocked(*o.History)
	}
	v.settingsLocked(o.Conversation)
	for _, p := range o.People {
		v.personLocked(p)
	}
	if o.Me != nil {
		v.personLocked(*o.Me)
	}
	v.here = protocol.ConvPresence{Online: o.Online, Here: o.Here}
	if o.Sync != nil {
		v.syncedLocked(*o.Sync)
	}
}

func (v *View) syncedLocked(s protocol.ConvSync) {
	if s.Conversation != nil {
		v.settingsLocked(*s.Conversation)
	}
	for _, m := range s.Messages {
		v.messageLocked(m)
	}
	for _, p := range s.People {
		v.personLocked(p)
	}
	v.seq = max(v.seq, s.Seq)
}

// reopen follows the conversation again from what is known on, after a new socket.
func (v *View) reopen() {
	v.mu.Lock()
	q := protocol.ConvOpen{Limit: v.opts.Page}
	if v.ready {
		since := v.seq
		q.Since = &since
	}
	shut := v.shut
	v.asking = false // asked on a socket that is no more
	v.mu.Unlock()
	if !shut {
		v.start(protocol.TypeConvOpen, q, v.opened, v.reopen)
	}
}

// afresh forgets all and opens the conversation anew.
func (v *View) afresh() {
	v.mu.Lock()
	v.ready, v.asking, v.high = false, false, 0
	v.mu.Unlock()
	v.reopen()
}

// sync asks for what is missing.
func (v *View) sync() {
	v.mu.Lock()
	if v.asking || v.shut {
		v.mu.Unlock()
		return
	}
	v.asking = true
	q := protocol.ConvSyncQuery{Since: v.seq, Limit: 500}
	v.mu.Unlock()
	v.start(protocol.TypeConvSync, q, v.synced, v.resync)
}

// resync asks again.
func (v *View) resync() {
	v.mu.Lock()
	v.asking = false
	v.mu.Unlock()
	v.sync()
}

func (v *View) synced(d json.RawMessage, err error) {
	if v.refused(err, v.resync) {
		return
	}
	s, err := decode[protocol.ConvSync](d)
	if err != nil {
		return // a server that is no server
	}
	if s.Reset {
		v.afresh()
		return
	}
	v.mu.Lock()
	v.syncedLocked(s)
	v.asking = false
	more := s.More || v.seq < v.high
	v.mu.Unlock()
	v.note()
	if more {
		v.sync()
	}
}

// start sends a request whose answer hook takes; again is called later if the client has too many.
func (v *View) start(t protocol.Type, d any, hook func(json.RawMessage, error), again func()) {
	if _, err := v.c.start(&call{hook: hook}, v.envelope(t), d); errors.Is(err, ErrBusy) {
		v.later(time.Second, again)
	}
}

func (v *View) later(wait time.Duration, again func()) {
	time.AfterFunc(wait, func() {
		if v.c.ctx.Err() == nil {
			again()
		}
	})
}

// refused deals with an error: again is called later if that may help. A session that was lost is followed by
// another one, which opens the conversation again.
func (v *View) refused(err error, again func()) bool {
	if err == nil {
		return false
	}
	wait, later := retryIn(err)
	code := protocol.CodeOf(err)
	v.mu.Lock()
	opened := v.once
	v.gone = v.gone || opened && (code == protocol.CodeNotFound || code == protocol.CodeForbidden)
	v.asking = v.asking && later
	v.mu.Unlock()
	v.note()
	if later && opened { // before that, View says so
		v.later(wait, again)
	}
	return true
}

// reopenViews follows all that is viewed again on a new socket.
func (c *Client) reopenViews() {
	c.mu.Lock()
	views := slices.Collect(maps.Values(c.views))
	c.mu.Unlock()
	for _, v := range views {
		v.mu.Lock()
		once := v.once
		v.mu.Unlock()
		if once { // else its first request is sent again
			v.reopen()
		}
	}
}

// convPush gives a push of a conversation to its view; without one it is an event.
func (c *Client) convPush(room protocol.RoomID, ev Event) {
	c.mu.Lock()
	v := c.views[room]
	c.mu.Unlock()
	if v == nil {
		c.emit(ev)
		return
	}
	v.push(ev)
}

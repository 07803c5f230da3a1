package live

import (
	"encoding/binary"
	"encoding/json"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Nodes tell each other what they want to hear of, as 64-bit hashes: of conversations that are followed there, and of
// users whose list is. Two that share a hash cost a message that nobody needed.

func roomKey(room protocol.RoomID) uint64 { return hash("c", string(room)) }
func userKey(user protocol.UserID) uint64 { return hash("u", string(user)) }

func hash(kind, id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(kind)) // a hash takes everything
	_, _ = h.Write([]byte(id))
	return h.Sum64()
}

// wants is what a node says of what it wants: all of it, or what changed between two versions.
type wants struct {
	From uint64 `json:"f,omitempty"` // 0: Add is all of it
	To   uint64 `json:"t"`
	Add  []byte `json:"a,omitempty"` // 8 bytes each
	Drop []byte `json:"d,omitempty"`
}

// interest knows what this node and the others want.
type interest struct {
	mu      sync.Mutex
	own     map[uint64]int
	changed map[uint64]struct{} // since version
	told    map[uint64]struct{} // what version holds
	version uint64
	nodes   map[protocol.NodeID]*peer
	by      map[uint64]map[protocol.NodeID]struct{}
	self    protocol.NodeID
}

type peer struct {
	version uint64 // 0: not known
	wants   map[uint64]struct{}
	seen    time.Time
	asked   time.Time // when it was last asked for all
}

func newInterest(self protocol.NodeID) *interest {
	return &interest{
		own: map[uint64]int{}, changed: map[uint64]struct{}{}, told: map[uint64]struct{}{}, nodes: map[protocol.NodeID]*peer{},
		by: map[uint64]map[protocol.NodeID]struct{}{}, self: self,
		version: rand.Uint64()>>1 | 1, // another one than that of a process before this one
	}
}

// want and drop count who wants to hear of it here.
func (i *interest) want(key uint64) { i.count(key, 1) }
func (i *interest) drop(key uint64) { i.count(key, -1) }

func (i *interest) count(key uint64, n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.own[key] += n; i.own[key] <= 0 {
		delete(i.own, key)
	}
	i.changed[key] = struct{}{}
}

// news returns what changed since it was last called; false if nothing did.
func (i *interest) news() (w wants, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for key := range i.changed {
		_, was := i.told[key]
		_, is := i.own[key]
		switch {
		case is && !was:
			i.told[key] = struct{}{}
			w.Add = binary.BigEndian.AppendUint64(w.Add, key)
		case was && !is:
			delete(i.told, key)
			w.Drop = binary.BigEndian.AppendUint64(w.Drop, key)
		}
	}
	clear(i.changed)
	if len(w.Add) == 0 && len(w.Drop) == 0 {
		return w, false
	}
	w.From = i.version
	i.version++
	w.To = i.version
	return w, true
}

// all returns what was told so far.
func (i *interest) all() wants {
	i.mu.Lock()
	defer i.mu.Unlock()
	w := wants{To: i.version, Add: make([]byte, 0, 8*len(i.told))}
	for key := range i.told {
		w.Add = binary.BigEndian.AppendUint64(w.Add, key)
	}
	return w
}

func (i *interest) now() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.version
}

// wanting returns the other nodes that want to hear of any of these.
func (i *interest) wanting(keys ...uint64) []protocol.NodeID {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(keys) == 1 {
		return slices.Collect(maps.Keys(i.by[keys[0]]))
	}
	nodes := map[protocol.NodeID]struct{}{}
	for _, key := range keys {
		maps.Copy(nodes, i.by[key])
	}
	return slices.Collect(maps.Keys(nodes))
}

// beat notes a sign of life; ask: what the node wants is not known as of that version.
func (i *interest) beat(node protocol.NodeID, version uint64, now time.Time) (ask bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p := i.peerLocked(node, now)
	return p.version != version && i.mayAskLocked(p, now)
}

func (i *interest) peerLocked(node protocol.NodeID, now time.Time) *peer {
	p := i.nodes[node]
	if p == nil {
		p = &peer{wants: map[uint64]struct{}{}}
		i.nodes[node] = p
	}
	p.seen = now
	return p
}

func (i *interest) mayAskLocked(p *peer, now time.Time) bool {
	if now.Sub(p.asked) < time.Second {
		return false
	}
	p.asked = now
	return true
}

// learn takes what a node wants. It returns what it wants now and did not, and the contrary; ask: something
// before that is not known.
func (i *interest) learn(node protocol.NodeID, w wants, now time.Time) (add, drop []uint64, ask bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p := i.peerLocked(node, now)
	if w.From != 0 && w.From != p.version {
		return nil, nil, i.mayAskLocked(p, now)
	}
	p.version = w.To
	fresh := keysOf(w.Add)
	if w.From == 0 {
		set := make(map[uint64]struct{}, len(fresh))
		for _, key := range fresh {
			set[key] = struct{}{}
		}
		for key := range p.wants {
			if _, ok := set[key]; !ok {
				drop = append(drop, key)
			}
		}
	} else {
		drop = keysOf(w.Drop)
	}
	for _, key := range drop {
		i.forgetLocked(node, p, key)
	}
	for _, key := range fresh {
		if _, ok := p.wants[key]; ok {
			continue
		}
		add = append(add, key)
		p.wants[key] = struct{}{}
		if i.by[key] == nil {
			i.by[key] = map[protocol.NodeID]struct{}{}
		}
		i.by[key][node] = struct{}{}
	}
	return add, drop, false
}

func (i *interest) forgetLocked(node protocol.NodeID, p *peer, key uint64) {
	delete(p.wants, key)
	if delete(i.by[key], node); len(i.by[key]) == 0 {
		delete(i.by, key)
	}
}

// prune forgets nodes that were silent since then.
func (i *interest) prune(before time.Time) (dead []protocol.NodeID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for node, p := range i.nodes {
		if p.seen.Before(before) {
			for key := range p.wants {
				i.forgetLocked(node, p, key)
			}
			delete(i.nodes, node)
			dead = append(dead, node)
		}
	}
	return dead
}

func keysOf(b []byte) []uint64 {
	keys := make([]uint64, 0, len(b)/8)
	for ; len(b) >= 8; b = b[8:] {
		keys = append(keys, binary.BigEndian.Uint64(b))
	}
	return keys
}

// First byte of a message between nodes; the rest is JSON.
const (
	wireEvent    = 'e' // protocol.ConvEvent
	wireBeat     = 'b' // the version of what the node wants
	wireWants    = 'w' // wants
	wireAsk      = 'a' // please say all that you want
	wirePresence = 'p' // wirePeople
	wireTyping   = 't' // typed
	wireMark     = 'm' // marking
)

const newsEvery = 50 * time.Millisecond

// silent is after how many beats a node counts as dead.
const silent = 5

// talk tells the other nodes what this one wants, until the end.
func (l *Live) talk() {
	tick := time.NewTicker(newsEvery)
	defer tick.Stop()
	var beat time.Time
	for {
		if w, ok := l.interest.news(); ok {
			l.notify("", wireWants, w)
		}
		if now := time.Now(); now.Sub(beat) >= l.cfg.Beat {
			beat = now
			l.notify("", wireBeat, l.interest.now())
			if dead := l.interest.prune(now.Add(-silent * l.cfg.Beat)); len(dead) > 0 {
				l.everywhere(func(s *shard) { s.died(dead) })
			}
		}
		select {
		case <-tick.C:
		case <-l.life.Done():
			return
		}
	}
}

// notify tells one node, or all, something about this one. What is lost is asked for later.
func (l *Live) notify(to protocol.NodeID, kind byte, v any) {
	if err := l.cfg.Notifier.Notify(to, "interest", append([]byte{kind}, mustJSON(v)...)); err != nil {
		l.metrics.lost.WithLabelValues("bus").Inc()
	}
}

// Receive takes what another node said.
func (l *Live) Receive(from protocol.NodeID, payload []byte) {
	if from == l.cfg.Node || len(payload) == 0 {
		return
	}
	d := payload[1:]
	var err error
	switch payload[0] {
	case wireEvent:
		var e protocol.ConvEvent
		if err = json.Unmarshal(d, &e); err == nil {
			l.happened(e, d)
		}
	case wireBeat, wireWants, wireAsk:
		err = l.heardOf(from, payload[0], d)
	case wirePresence:
		var p wirePeople
		if err = json.Unmarshal(d, &p); err == nil {
			l.try(p.Room, func(s *shard) { s.presentElsewhere(from, p) })
		}
	case wireTyping:
		var t typed
		if err = json.Unmarshal(d, &t); err == nil {
			l.try(t.Room, func(s *shard) { s.typed(t) })
		}
	case wireMark:
		var m marking
		if err = json.Unmarshal(d, &m); err == nil {
			l.try(m.Room, func(s *shard) { s.mark(m) })
		}
	}
	if err != nil {
		l.log.Warn("conversations: message from node dropped", "from", from, "err", err)
	}
}

// try runs f in the shard of the conversation, if there is room for it.
func (l *Live) try(room protocol.RoomID, f func(*shard)) {
	s := l.shardOf(room)
	select {
	case s.do <- func() { f(s) }:
	default:
		l.metrics.lost.WithLabelValues("queue").Inc()
	}
}

// heardOf takes what a node says of itself.
func (l *Live) heardOf(from protocol.NodeID, kind byte, d []byte) error {
	now, ask := time.Now(), false
	switch kind {
	case wireAsk:
		l.notify(from, wireWants, l.interest.all())
	case wireBeat:
		var version uint64
		if err := json.Unmarshal(d, &version); err != nil {
			return err
		}
		ask = l.interest.beat(from, version, now)
	case wireWants:
		var w wants
		if err := json.Unmarshal(d, &w); err != nil {
			return err
		}
		var add, drop []uint64
		add, drop, ask = l.interest.learn(from, w, now)
		if len(add)+len(drop) > 0 {
			l.everywhere(func(s *shard) { s.wanted(from, add, drop) })
		}
	}
	if ask {
		l.notify(from, wireAsk, true)
	}
	return nil
}

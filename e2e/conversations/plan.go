package conversations

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// plan is how much is said by how many, and what goes wrong meanwhile.
type plan struct {
	people, rooms int
	each          int           // messages of each person
	pause         time.Duration // between them, on average
	kills         int           // nodes killed; the database is killed, and Redis flushed, half as often
	between       time.Duration // faults
}

// word is a message that was acknowledged, as its author last made it.
type word struct {
	room    protocol.RoomID
	seq     uint64
	cid     string
	text    string
	deleted bool
	liked   bool
}

// author is somebody's own book of what was acknowledged, in the order it was said.
type author struct {
	id    protocol.UserID
	name  string
	words []*word
	draw  *rand.Rand
}

func newAuthor(i int, seed uint64) *author {
	return &author{name: fmt.Sprintf("person %d", i), draw: rand.New(rand.NewPCG(seed, uint64(i)))}
}

// own returns one of the author's messages that still stands; nil if there is none.
func (a *author) own() *word {
	if len(a.words) == 0 {
		return nil
	}
	if w := a.words[a.draw.IntN(len(a.words))]; !w.deleted {
		return w
	}
	return nil
}

package signaling

import "github.com/rondo-chat/rondo/protocol"

// replies remembers the answers to the last requests of a session, so that one
// that is sent again is not executed again (section 3).
type replies struct {
	list  []reply // oldest first
	bytes int
}

type reply struct {
	id uint32
	t  protocol.Type
	b  []byte // the whole frame
}

// find returns the remembered answer. An id that comes with another type is
// another request.
func (r *replies) find(id uint32, t protocol.Type) ([]byte, bool) {
	for i := len(r.list) - 1; i >= 0; i-- {
		if r.list[i].id == id {
			return r.list[i].b, r.list[i].t == t
		}
	}
	return nil, false
}

// add remembers an answer. The newest is always kept, others while they fit.
func (r *replies) add(n reply, l *Limits) {
	r.list = append(r.list, n)
	r.bytes += len(n.b)
	old := 0
	for ; len(r.list)-old > l.Replies || (r.bytes > l.ReplyBytes && old < len(r.list)-1); old++ {
		r.bytes -= len(r.list[old].b)
	}
	if old > 0 {
		rest := copy(r.list, r.list[old:])
		clear(r.list[rest:])
		r.list = r.list[:rest]
	}
}

package table

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/client/bench/wire"
	"github.com/rondo-chat/rondo/protocol"
)

// patience is how long anything may take before the run fails.
const patience = 30 * time.Second

// speaker is one end of a connection with Rondo or with a reference: it sends messages and
// reads them. To Rondo it is a guest that keeps the protocol; to a reference the same frames mean nothing.
type speaker struct {
	*wire.Conn
	rondo bool

	room string // Rondo: where it sits
	seq  uint64 // last push that must be acknowledged
	said uint64 // last seq that the server was told
	id   uint32 // of the last request: the server answers one that comes again as it did
	out  []byte
}

// bare connects to a reference.
func bare(ctx context.Context, p *process, i int) (*speaker, error) {
	c, err := wire.DialLength(ctx, p.addr, i, nil)
	if err != nil {
		return nil, err
	}
	return &speaker{Conn: c}, nil
}

// guest connects to Rondo and is welcomed.
func guest(ctx context.Context, s *server, i int) (*speaker, error) {
	var conf *tls.Config
	if s.ready.HTTPS {
		conf = &tls.Config{InsecureSkipVerify: true} // it was made for this run
	}
	c, err := wire.DialWebSocket(ctx, s.ws(), protocol.Subprotocol, i, conf)
	if err != nil {
		return nil, err
	}
	g := &speaker{Conn: c, rondo: true}
	if err := g.request(protocol.TypeHello, "", `{}`); err != nil {
		return nil, err
	}
	_, err = g.until(protocol.TypeWelcome)
	return g, err
}

// envelope is what a speaker needs to know of a message.
type envelope struct {
	T    protocol.Type   `json:"t"`
	ID   uint32          `json:"id"`
	Seq  uint64          `json:"seq"`
	Room string          `json:"room"`
	D    json.RawMessage `json:"d"`
	E    json.RawMessage `json:"e"`
}

// until reads until a message of a type comes. An error of the server is one.
func (s *speaker) until(t protocol.Type) (envelope, error) {
	if err := s.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return envelope{}, err
	}
	defer s.SetReadDeadline(time.Time{}) //nolint:errcheck // the next read finds out
	for {
		raw, err := s.Next()
		if err != nil {
			return envelope{}, err
		}
		m, err := s.control(raw)
		if err != nil || m.T == t {
			return m, err
		}
	}
}

// control takes a message that is not one of those that are counted.
func (s *speaker) control(raw []byte) (m envelope, err error) {
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, err
	}
	s.seq = max(s.seq, m.Seq)
	switch m.T {
	case protocol.TypePing:
		err = s.Send(fmt.Appendf(nil, `{"t":"pong","a":%d}`, s.seq))
	case protocol.TypeErr:
		err = fmt.Errorf("table: the server says %s", m.E)
	}
	return m, err
}

// request sends one. To a reference it is a frame as any other.
func (s *speaker) request(t protocol.Type, room, d string) error {
	s.id++
	text := fmt.Appendf(nil, `{"t":"%s","id":%d,`, t, s.id)
	if room != "" {
		text = fmt.Appendf(text, `"room":"%s",`, room)
	}
	return s.Send(fmt.Appendf(text, `"d":%s}`, d))
}

// ask sends a request and reads until its answer, whatever it is.
func (s *speaker) ask(t protocol.Type, room, d string) error {
	if err := s.request(t, room, d); err != nil {
		return err
	}
	_, err := s.until(protocol.TypeOK)
	return err
}

// message is what is sent again and again. For Rondo it has a place where the acknowledgement goes.
type message struct {
	text []byte
	ack  int // where the acknowledgement is; 0: nowhere
	at   int // where the time is; 0: nowhere
}

// ackWidth is wide enough for any number that a run reaches; JSON lets a number have space before it.
const ackWidth = 10

// signal makes a signal of n bytes for a room. A reference gets the same bytes.
func signal(room string, n int) message {
	const stamp = "0000000000000000000"
	text := `{"t":"signal","a":`
	m := message{ack: len(text)}
	text += fmt.Sprintf("%*d", ackWidth, 0) + `,"room":"` + room + `","kind":"offer","d":{"at":"`
	m.at = len(text)
	text += stamp + `","sdp":"`
	const end = `"}}`
	m.text = append(append([]byte(text), bytes.Repeat([]byte("x"), max(0, n-len(text)-len(end)))...), end...)
	return m
}

// put adds a frame with the message to the speaker's buffer.
func (s *speaker) put(m message) {
	if s.rondo && m.ack > 0 {
		number := m.text[m.ack : m.ack+ackWidth]
		for i := range number {
			number[i] = ' '
		}
		digits := strconv.AppendUint(nil, s.seq, 10)
		copy(number[ackWidth-len(digits):], digits)
		s.said = s.seq
	}
	s.out = s.Append(s.out, m.text)
}

// flush writes what was put in one write.
func (s *speaker) flush() error {
	_, err := s.Write(s.out)
	s.out = s.out[:0]
	return err
}

// take reads the next message that contains mark; what else comes is the protocol's.
func (s *speaker) take(mark []byte) ([]byte, error) {
	for {
		raw, err := s.Next()
		if err != nil {
			return nil, err
		}
		if !s.rondo {
			return raw, nil
		}
		if bytes.Contains(raw[:min(len(raw), 4096)], mark) {
			return raw, s.count(raw)
		}
		if _, err := s.control(raw); err != nil {
			return nil, err
		}
	}
}

// count notes the number of a push, and acknowledges when that is due.
func (s *speaker) count(raw []byte) error {
	head, _, _ := bytes.Cut(raw[:min(len(raw), 160)], []byte(`"d":`)) // a conversation's events have a seq of their own
	_, rest, ok := bytes.Cut(head, []byte(`"seq":`))
	if !ok {
		return nil
	}
	n := uint64(0)
	for _, d := range rest {
		if d < '0' || d > '9' {
			break
		}
		n = 10*n + uint64(d-'0')
	}
	if n != s.seq+1 {
		return fmt.Errorf("table: push %d after %d", n, s.seq)
	}
	s.seq = n
	const due = 32 // protocol.md, section 3
	if s.seq-s.said < due {
		return nil
	}
	s.said = s.seq
	return s.Send(fmt.Appendf(nil, `{"t":"ack","a":%d}`, s.seq))
}

// signalMark is what a relayed signal begins with.
const signalMark = `{"t":"signal"`

// crowd dials n speakers, some at a time, and closes them with the group.
func (g *group) crowd(ctx context.Context, n int, dial func(i int) (*speaker, error)) ([]*speaker, error) {
	all := make([]*speaker, n)
	g.ends = append(g.ends, func() {
		for _, s := range all {
			if s != nil {
				s.Close()
			}
		}
	})
	return all, each(n, func(i int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, err := dial(i)
		all[i] = s
		return err
	})
}

// inOrder dials one after another, for references that pair who comes in order.
func (g *group) inOrder(n int, dial func(i int) (*speaker, error)) ([]*speaker, error) {
	var all []*speaker
	for i := range n {
		s, err := dial(i)
		if err != nil {
			return all, err
		}
		g.ends = append(g.ends, func() { s.Close() })
		all = append(all, s)
	}
	return all, nil
}

// each calls f for 0 to n-1, on a few goroutines, and returns the first errors.
func each(n int, f func(i int) error) error {
	const hands = 32
	var all sync.WaitGroup
	errs := make([]error, hands)
	for hand := range hands {
		all.Go(func() {
			for i := hand; i < n && errs[hand] == nil; i += hands {
				errs[hand] = f(i)
			}
		})
	}
	all.Wait()
	return firstOf(errs)
}

// together calls f for each speaker on a goroutine of its own.
func together(all []*speaker, f func(i int, s *speaker) error) error {
	var done sync.WaitGroup
	errs := make([]error, len(all))
	for i, s := range all {
		done.Go(func() { errs[i] = f(i, s) })
	}
	done.Wait()
	return firstOf(errs)
}

// firstOf leaves out what follows from the first few.
func firstOf(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	return errors.Join(errs[:min(len(errs), 3)]...)
}

// meet lets all guests find one another and returns the pairs.
func meet(all []*speaker) ([][2]*speaker, error) {
	err := together(all, func(_ int, s *speaker) error {
		if err := s.find(); err != nil {
			return err
		}
		return s.told()
	})
	if err != nil {
		return nil, err
	}
	first := map[string]*speaker{}
	var pairs [][2]*speaker
	for _, s := range all {
		if other := first[s.room]; other != nil {
			pairs = append(pairs, [2]*speaker{other, s})
			continue
		}
		first[s.room] = s
	}
	if 2*len(pairs) != len(all) {
		return nil, fmt.Errorf("table: %d pairs of %d who asked", len(pairs), len(all))
	}
	return pairs, nil
}

// inPairs are the pairs of speakers that came in order.
func inPairs(all []*speaker) [][2]*speaker {
	var pairs [][2]*speaker
	for i := 0; i+1 < len(all); i += 2 {
		pairs = append(pairs, [2]*speaker{all[i], all[i+1]})
	}
	return pairs
}

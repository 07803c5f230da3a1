//go:build linux

package wire

import (
	"fmt"
	"testing"

	"github.com/rondo-chat/rondo/protocol"
)

// eventSize is that of the text of a message to many.
const eventSize = 300

func audience(b testing.TB, n int, dial func(i int) (client, error)) []client {
	return gather(b, n, dial)
}

func rondoAudience(b testing.TB, addr string, n int) []client {
	return audience(b, n, func(int) (client, error) {
		c, err := dialRondo(addr, "Ann")
		if err != nil {
			return nil, err
		}
		c.begin = func(dst []byte, _ *rondoClient) []byte {
			return append(dst, `{"t":"conv.send","room":"`+topicRoom+`","d":{"text":"`...)
		}
		c.push = []byte(`{"t":"conv.event"`)
		_, err = c.ask(protocol.TypeConvOpen, topicRoom, struct{}{})
		return c, err
	})
}

func bareAudience(b testing.TB, addr string, n int) []client {
	return audience(b, n, func(int) (client, error) { return dialBare(addr, "all") })
}

// tell lets the first so many of all send a message at once, so often, and waits each time
// until all have all.
func tell(b testing.TB, all []client, times, senders int) {
	b.Helper()
	heard := make(chan error, len(all))
	for _, c := range all {
		go func() {
			for range times {
				heard <- c.receive(senders)
			}
		}()
	}
	for range times {
		each(b, senders, func(i int) error { return all[i].send(1, eventSize) })
		for range all {
			if err := <-heard; err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkFanOut: messages to all who follow a conversation, by our server (the record of what
// is said left out) and by one that writes each to all connections in turn.
// Both have all members in this process: twice 9,900 are what 20,000 open files allow.
func BenchmarkFanOut(b *testing.B) {
	for _, c := range []struct{ members, senders int }{{100, 1}, {200, 1}, {1000, 1}, {9900, 1}, {100, 8}, {200, 8}, {1000, 8}} {
		b.Run(fmt.Sprintf("%d/%d", c.members, c.senders), func(b *testing.B) {
			ours, bare := start(b, "topic"), start(b, "broadcast")
			ourMembers, bareMembers := rondoAudience(b, ours.addr, c.members), bareAudience(b, bare.addr, c.members)
			times := max(20_000/c.members/c.senders, 2)
			r := newRatio(times * c.members * c.senders)
			for b.Loop() {
				r.add(
					bare.cost(func() { tell(b, bareMembers, times, c.senders) }),
					ours.cost(func() { tell(b, ourMembers, times, c.senders) }),
				)
			}
			r.report(b, "delivery")
			for _, m := range append(ourMembers, bareMembers...) {
				m.close()
			}
		})
	}
}

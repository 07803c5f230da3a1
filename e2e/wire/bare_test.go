//go:build linux

package wire

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"
)

// A bare message is its length in four bytes and so many bytes. The first on a connection names
// the group that it is of.

// receiveBuffer takes an offer or a whole burst in one read.
const receiveBuffer = 64 << 10

func bareMessage(text []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// readBare reads a message with its length into buf.
func readBare(in *bufio.Reader, buf []byte) ([]byte, error) {
	head, err := in.Peek(4)
	if err != nil {
		return nil, err
	}
	buf = buf[:4+binary.BigEndian.Uint32(head)]
	_, err = io.ReadFull(in, buf)
	return buf, err
}

// groups are connections by the name of their group.
type groups struct {
	mu sync.RWMutex
	of map[string][]net.Conn
}

func (g *groups) enter(name string, c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil {
		g.of = map[string][]net.Conn{}
	}
	g.of[name] = append(g.of[name], c)
}

func (g *groups) list(name string) []net.Conn {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.of[name]
}

// serveBare takes connections, each on a goroutine, and gives each message to pass.
func serveBare(l net.Listener, pass func(from net.Conn, group []net.Conn, message []byte)) error {
	var all groups
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			in, buf := bufio.NewReaderSize(c, receiveBuffer), make([]byte, receiveBuffer)
			first, err := readBare(in, buf)
			if err != nil {
				return
			}
			group := string(first[4:])
			all.enter(group, c)
			if _, err := c.Write(bareMessage(nil)); err != nil { // it is in
				return
			}
			for {
				message, err := readBare(in, buf)
				if err != nil {
					return
				}
				pass(c, all.list(group), message)
			}
		}()
	}
}

// serveRelay passes each message on to the others of the group, of which there is one.
func serveRelay(l net.Listener) error {
	return serveBare(l, func(from net.Conn, group []net.Conn, message []byte) {
		for _, c := range group {
			if c != from {
				_, _ = c.Write(message) // who is gone is gone
			}
		}
	})
}

// serveBroadcast passes each message on to all of the group.
func serveBroadcast(l net.Listener) error {
	return serveBare(l, func(_ net.Conn, group []net.Conn, message []byte) {
		for _, c := range group {
			_, _ = c.Write(message) // who is gone is gone
		}
	})
}

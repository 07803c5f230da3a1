package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/rondo-chat/rondo/protocol"
)

const (
	writeTimeout = 10 * time.Second
	// maxFrame bounds what a server may send: a room's history of long
	// messages is the largest.
	maxFrame = 4 << 20
)

// envelope is a message of either direction (section 2).
type envelope struct {
	T    protocol.Type       `json:"t"`
	ID   uint32              `json:"id,omitempty"`
	Seq  uint64              `json:"seq,omitempty"`
	Ack  uint64              `json:"a,omitempty"`
	Room protocol.RoomID     `json:"room,omitempty"`
	To   protocol.MemberID   `json:"to,omitempty"`
	From protocol.MemberID   `json:"from,omitempty"`
	Kind protocol.SignalKind `json:"kind,omitempty"`
	N    uint32              `json:"n,omitempty"`
	D    json.RawMessage     `json:"d,omitempty"`
	E    *protocol.WireError `json:"e,omitempty"`
}

// err returns the error that an err message carries.
func (m *envelope) err() error {
	if m.E == nil {
		return protocol.Errorf(protocol.CodeInternal, "err without e")
	}
	return &protocol.Error{Code: m.E.Code, Msg: m.E.Msg, Retry: time.Duration(m.E.RetryMS) * time.Millisecond}
}

// link is one socket of a session. Reads belong to the client's goroutine.
type link struct {
	conn    *websocket.Conn
	resumed bool // the session was opened before; static once it is known

	mu sync.Mutex // held while writing
}

func dialLink(ctx context.Context, url string, o *Options) (*link, error) {
	d := websocket.Dialer{
		Proxy:            o.Proxy,
		HandshakeTimeout: 15 * time.Second,
		Subprotocols:     []string{protocol.Subprotocol},
		ReadBufferSize:   1024,
		WriteBufferSize:  1024,
		TLSClientConfig:  o.TLS,
		NetDialContext:   o.NetDial,
	}
	conn, resp, err := d.DialContext(ctx, url, o.Header)
	if err != nil {
		return nil, refused(resp, err)
	}
	conn.SetReadLimit(maxFrame)
	return &link{conn: conn}, nil
}

// refused makes the error of a dial that got an HTTP answer other than 101.
func refused(resp *http.Response, err error) error {
	if resp == nil || !errors.Is(err, websocket.ErrBadHandshake) {
		return err
	}
	re := &RefusedError{Status: resp.StatusCode}
	var problem struct{ Code protocol.Code }
	if body, err := io.ReadAll(io.LimitReader(resp.Body, 4096)); err == nil && json.Unmarshal(body, &problem) == nil {
		re.Code = problem.Code
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		re.Retry = time.Duration(s) * time.Second
	}
	return re
}

// read returns the next message; nothing for longer than quiet is an error.
func (l *link) read(quiet time.Duration) (*envelope, error) {
	if err := l.conn.SetReadDeadline(time.Now().Add(quiet)); err != nil {
		return nil, err
	}
	_, b, err := l.conn.ReadMessage()
	if err != nil {
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			return nil, errSilent
		}
		return nil, closeError(err)
	}
	m := new(envelope)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, err
	}
	return m, nil
}

// write sends one frame. After an error the socket is closed: its reader finds
// out and makes a new one.
func (l *link) write(frame []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writeLocked(frame)
}

func (l *link) writeLocked(frame []byte) error {
	err := l.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		err = l.conn.WriteMessage(websocket.TextMessage, frame)
	}
	if err != nil {
		l.conn.Close()
	}
	return err
}

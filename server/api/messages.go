package api

import (
	"context"
	"strconv"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

func history(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	p := c.parameters()
	q := protocol.ConvHistoryQuery{
		Before: p.seq("before"), After: p.seq("after"), Around: p.seq("around"), Thread: p.seq("thread"), Author: p.user("author"), Pinned: p.flag("pinned"), Limit: p.limit(maxPage),
	}
	if p.err != nil {
		return answer{}, p.err
	}
	return answerOf(c.api.cfg.Conversations.History(c.r.Context(), who, room, q))
}

type sendRequest struct {
	CID     string   `json:"cid" need:"true" max:"64"`
	Text    string   `json:"text" max:"16384"`
	ReplyTo uint64   `json:"reply_to"`
	Thread  bool     `json:"thread"`
	Files   []string `json:"files" max:"64"`
}

func sendMessage(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	in, err := decode[sendRequest](c)
	if err != nil {
		return answer{}, err
	}
	return answerOf(c.api.cfg.Conversations.Send(c.r.Context(), who, room, protocol.ConvSend(in)))
}

// seq returns the message that the path names.
func (c *call) seq() (uint64, error) {
	s := c.r.PathValue("seq")
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != s {
		return 0, protocol.Errorf(protocol.CodeNotFound, "there is no such thing")
	}
	return n, nil
}

type editRequest struct {
	Text string `json:"text" need:"true" max:"16384"`
}

func editMessage(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	seq, err := c.seq()
	if err != nil {
		return answer{}, err
	}
	in, err := decode[editRequest](c)
	if err != nil {
		return answer{}, err
	}
	return answerOf(c.api.cfg.Conversations.Edit(c.r.Context(), who, room, protocol.ConvChange{Seq: seq, Text: in.Text}))
}

// maxEmoji bounds an emoji in bytes; what is one, the conversations know.
const maxEmoji = 64

// changeMessage makes a handler of a change that the path says all about.
func changeMessage(change func(Conversations, context.Context, conversations.Caller, protocol.RoomID, protocol.ConvChange) (protocol.ConvSent, error), on bool) func(*call, conversations.Caller, protocol.RoomID) (answer, error) {
	return func(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
		seq, err := c.seq()
		if err != nil {
			return answer{}, err
		}
		if _, err := decode[struct{}](c); err != nil {
			return answer{}, err
		}
		emoji := c.r.PathValue("emoji")
		if len(emoji) > maxEmoji {
			return answer{}, protocol.Errorf(protocol.CodeBadRequest, "emoji: not one")
		}
		return answerOf(change(c.api.cfg.Conversations, c.r.Context(), who, room, protocol.ConvChange{Seq: seq, Emoji: emoji, On: on}))
	}
}

type revisionsAnswer struct {
	Revisions []protocol.ConvRevision `json:"revisions"`
}

func revisions(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	seq, err := c.seq()
	if err != nil {
		return answer{}, err
	}
	list, err := c.api.cfg.Conversations.Revisions(c.r.Context(), who, room, seq)
	return answerOf(revisionsAnswer{listOf(list)}, err)
}

type markRequest struct {
	Delivered uint64 `json:"delivered"`
	Read      uint64 `json:"read"`
}

func mark(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	in, err := decode[markRequest](c)
	if err != nil {
		return answer{}, err
	}
	return answerOf(c.api.cfg.Conversations.Mark(c.r.Context(), who, room, protocol.ConvMark(in)))
}

type translateRequest struct {
	Messages []uint64 `json:"messages" need:"true"`
	To       string   `json:"to" need:"true" max:"35"`
}

func translate(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	in, err := decode[translateRequest](c)
	if err != nil {
		return answer{}, err
	}
	if c.api.cfg.Translate == nil {
		return answer{}, protocol.Errorf(protocol.CodeUnavailable, "nothing is translated here")
	}
	return answerOf(c.api.cfg.Translate(c.r.Context(), who, room, protocol.ConvTranslate(in)))
}

package api

import (
	"context"
	"mime"
	"net/http"
	"strings"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/chat/files"
	"github.com/rondo-chat/rondo/protocol"
)

// Files is what the handlers ask for; *files.Files is one.
type Files interface {
	Upload(ctx context.Context, who conversations.Caller, room protocol.RoomID, s files.Source) (protocol.ConvFile, error)
	Open(ctx context.Context, who conversations.Caller, id string) (protocol.ConvFile, files.Blob, error)
}

var _ Files = (*files.Files)(nil)

const maxFileName = 1024 // bytes

func upload(c *call, who conversations.Caller, room protocol.RoomID) (answer, error) {
	p := c.parameters()
	name := p.text("name", maxFileName)
	if p.err != nil {
		return answer{}, p.err
	}
	if c.api.cfg.Files == nil {
		return answer{}, protocol.Errorf(protocol.CodeUnavailable, "files are not taken here")
	}
	if c.r.Header.Get("Content-Encoding") != "" {
		return answer{}, protocol.Errorf(protocol.CodeBadRequest, "Content-Encoding: a file is sent as it is")
	}
	return answerOf(c.api.cfg.Files.Upload(c.r.Context(), who, room, files.Source{Name: name, Network: network(c.addr()), Body: c.r.Body}))
}

// download serves a file so that it can run nothing: pictures, which were encoded again, may be shown; all
// else is to be saved.
func download(c *call, who conversations.Caller) (answer, error) {
	if c.api.cfg.Files == nil {
		return answer{}, protocol.Errorf(protocol.CodeNotFound, "there is no such thing")
	}
	f, blob, err := c.api.cfg.Files.Open(c.r.Context(), who, c.r.PathValue("file"))
	if err != nil {
		return answer{}, err
	}
	if strings.Contains(c.r.Header.Get("Range"), ",") {
		c.r.Header.Del("Range") // many parts of one file cost much and serve nobody: it is sent whole
	}
	typ, how := files.Other, "attachment"
	switch f.Type {
	case "image/jpeg", "image/png", "image/gif":
		typ, how = f.Type, "inline"
	}
	disposition := mime.FormatMediaType(how, map[string]string{"filename": f.Name})
	if disposition == "" { // a name that cannot be written
		disposition = how
	}
	return answer{status: http.StatusOK, file: blob, header: map[string]string{
		"Content-Type": typ, "Content-Disposition": disposition, "Content-Security-Policy": "sandbox; default-src 'none'",
		// What an id names never changes; who may see it does.
		"Cache-Control": "private, max-age=600", "Vary": "Authorization, Cookie", "ETag": `"` + f.ID + `"`,
	}}, nil
}

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rondo-chat/rondo/protocol"
)

// read takes the body in, if there is to be one. It may be called again.
func (c *call) read() error {
	if c.r.Method == http.MethodGet || len(c.body) > 0 {
		return nil
	}
	if c.route.file {
		return c.contentType("application/octet-stream")
	}
	limit := c.route.bytes
	if limit == 0 {
		limit = maxBody
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, limit))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return protocol.Errorf(protocol.CodeTooLarge, "the body is limited to %d bytes", limit)
	}
	if err != nil {
		return protocol.Errorf(protocol.CodeBadRequest, "the body did not arrive")
	}
	if c.body = body; len(body) == 0 {
		return nil
	}
	return c.contentType("application/json")
}

// contentType demands a type that a form of another site cannot send.
func (c *call) contentType(want string) error {
	if typ, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || typ != want {
		return protocol.Errorf(protocol.CodeBadRequest, "Content-Type: must be %s", want)
	}
	return nil
}

// decode reads the body into a request's struct, which says what there may be:
// the tag json names a key, need:"true" demands it, max:"n" bounds a string's
// bytes. Keys are case-sensitive; one that is unknown or occurs twice, null, and
// a NUL character are refused.
func decode[T any](c *call) (T, error) {
	var v T
	if !utf8.Valid(c.body) {
		return v, protocol.Errorf(protocol.CodeBadRequest, "the body is not UTF-8")
	}
	members, err := members(c.body)
	if err != nil {
		return v, err
	}
	at := reflect.ValueOf(&v).Elem()
	for field := range at.Type().Fields() {
		name := field.Tag.Get("json")
		raw, given := members[name]
		delete(members, name)
		if !given && field.Tag.Get("need") == "true" {
			return v, protocol.Errorf(protocol.CodeBadRequest, "%s: missing", name)
		}
		if !given {
			continue
		}
		f := at.FieldByIndex(field.Index)
		if string(raw) == "null" || json.Unmarshal(raw, f.Addr().Interface()) != nil {
			return v, protocol.Errorf(protocol.CodeBadRequest, "%s: wrong type", name)
		}
		if err := bounded(name, field, f); err != nil {
			return v, err
		}
	}
	for name := range members {
		return v, protocol.Errorf(protocol.CodeBadRequest, "%.32q: unknown here", name)
	}
	return v, nil
}

// members returns the values of the object in b; nothing counts as {}.
func members(b []byte) (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(b)) == 0 {
		return all, nil
	}
	bad := protocol.Errorf(protocol.CodeBadRequest, "the body is not one JSON object, each key once")
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, bad
	}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		var raw json.RawMessage
		if err != nil || !ok || d.Decode(&raw) != nil {
			return nil, bad
		}
		if _, twice := all[name]; twice {
			return nil, bad
		}
		all[name] = raw
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') {
		return nil, bad
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, bad
	}
	return all, nil
}

// bounded looks at every string within v.
func bounded(name string, field reflect.StructField, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		return bounded(name, field, v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			if err := bounded(name, field, v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.String:
		limit, _ := strconv.Atoi(field.Tag.Get("max"))
		if len(v.String()) > limit {
			return protocol.Errorf(protocol.CodeBadRequest, "%s: longer than %d bytes", name, limit)
		}
		if strings.ContainsRune(v.String(), 0) {
			return protocol.Errorf(protocol.CodeBadRequest, "%s: a character is not allowed", name)
		}
	}
	return nil
}

package accounts

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/internal/picture"
	"github.com/rondo-chat/rondo/internal/text"
	"github.com/rondo-chat/rondo/protocol"
)

// Me returns the user. Errors: not_found.
func (a *Accounts) Me(ctx context.Context, identity protocol.UserID) (User, error) {
	var u UserRow
	err := a.cfg.Store.Read(ctx, "me", func(r Reader) (err error) {
		u, err = a.user(r, identity)
		return err
	})
	return u.User, err
}

// Registered reports whether the identity is a user's. A guest token of such an identity must not
// serve any more.
func (a *Accounts) Registered(ctx context.Context, identity protocol.UserID) (bool, error) {
	_, err := a.Name(ctx, identity)
	if protocol.CodeOf(err) == protocol.CodeNotFound {
		return false, nil
	}
	return err == nil, err
}

// UpdateProfile changes the profile if it has the version (0: any). Errors: changed (it has another
// version), bad_request, not_found.
func (a *Accounts) UpdateProfile(ctx context.Context, identity protocol.UserID, version int64, p Patch) (User, error) {
	if err := p.clean(ctx); err != nil {
		return User{}, err
	}
	var before, after UserRow
	err := a.change(ctx, "profile", identity, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		if version != 0 && u.Version != version {
			return nil, protocol.Errorf(protocol.CodeChanged, "the profile changed meanwhile")
		}
		before, after = u, u
		p.apply(&after.User)
		after.Version++
		if err := tx.UpdateUser(after); err != nil {
			return nil, err
		}
		return nil, a.log(tx, EventProfile, u.ID, now, AuditRow{})
	})
	if before.Name != after.Name {
		a.uncache(ctx, identity)
	}
	if err != nil {
		return User{}, err
	}
	if before.Name != after.Name || before.Avatar != after.Avatar {
		a.cfg.OnProfile(ctx, after.User, before.Avatar != after.Avatar)
	}
	return after.User, nil
}

// clean checks and cleans what is given.
func (p *Patch) clean(ctx context.Context) error {
	avatar := func(s string) (string, error) { return cleanAvatar(ctx, s) }
	for _, field := range []struct {
		value *string
		clean func(string) (string, error)
	}{{p.Name, cleanProfileName}, {p.Avatar, avatar}, {p.Language, cleanLanguage}} {
		if field.value == nil {
			continue
		}
		var err error
		if *field.value, err = field.clean(*field.value); err != nil {
			return err
		}
	}
	if err := cleanList(p.Languages, "languages", protocol.MaxLanguages, text.Language); err != nil {
		return err
	}
	return cleanList(p.Interests, "interests", MaxInterests, text.Tag)
}

func (p *Patch) apply(u *User) {
	set(&u.Name, p.Name)
	set(&u.Avatar, p.Avatar)
	set(&u.Language, p.Language)
	set(&u.Languages, p.Languages)
	set(&u.Interests, p.Interests)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func cleanProfileName(s string) (string, error) {
	name, err := text.Name(s)
	if err == nil && name == "" {
		err = protocol.Errorf(protocol.CodeBadRequest, "name: empty")
	}
	return name, err
}

// cleanList cleans each of at most so many entries; what is there twice is there once.
func cleanList(list *[]string, field string, most int, clean func(string) (string, error)) error {
	if list == nil {
		return nil
	}
	if len(*list) > most {
		return protocol.Errorf(protocol.CodeBadRequest, "%s: at most %d", field, most)
	}
	cleaned := []string{}
	for _, s := range *list {
		c, err := clean(s)
		if err != nil {
			msg := err.Error()
			if e, ok := err.(*protocol.Error); ok {
				msg = e.Msg
			}
			_, reason, _ := strings.Cut(msg, ": ")
			return protocol.Errorf(protocol.CodeBadRequest, "%s: %s", field, reason)
		}
		if !slices.Contains(cleaned, c) {
			cleaned = append(cleaned, c)
		}
	}
	*list = cleaned
	return nil
}

// maxAvatar bounds a picture, as text.
const maxAvatar = 100_000

// maxAvatarPixels is far above what a page makes of a picture, and decoded in some milliseconds.
const maxAvatarPixels = 1 << 20

// cleanAvatar takes a small picture as a data: URL that is what it says, or "", and encodes it again: others
// are shown its pixels and nothing else that it may hold.
func cleanAvatar(ctx context.Context, s string) (string, error) {
	if s == "" {
		return "", nil
	}
	bad := protocol.Errorf(protocol.CodeBadRequest, "avatar: a PNG, JPEG or WebP image of at most %d bytes, as a data: URL", maxAvatar)
	head, data, ok := strings.Cut(s, ";base64,")
	if !ok || len(s) > maxAvatar {
		return "", bad
	}
	b, err := base64.StdEncoding.Strict().DecodeString(data)
	if typ := picture.Sniff(b); err != nil || typ == "" || typ == picture.GIF || "data:"+typ != head {
		return "", bad
	}
	for _, quality := range []int{88, 70, 50, 30} { // until it is not larger than it may be
		p, err := picture.Clean(ctx, b, picture.Limits{Pixels: maxAvatarPixels, Quality: quality})
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			return "", bad
		}
		if s := "data:" + p.Type + ";base64," + base64.StdEncoding.EncodeToString(p.Data); len(s) <= maxAvatar {
			return s, nil
		}
	}
	return "", bad
}

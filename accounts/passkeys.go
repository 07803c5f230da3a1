package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/internal/passkey"
	"github.com/rondo-chat/rondo/protocol"
)

// PasskeyStart is what a browser is to do: Options go to navigator.credentials, and State comes back
// with what that gave, once, to any node.
type PasskeyStart struct {
	State   string
	Options json.RawMessage // publicKey of create or get
	Expires time.Time
}

// PasskeyAnswer is what came of a PasskeyStart.
type PasskeyAnswer struct {
	State      string
	Credential json.RawMessage // PublicKeyCredential.toJSON()
	Origin     string          // that the request says it comes from
	Name       string          // of a new passkey; "": after Device
	Device     Device
}

// PasskeyInfo is a passkey as its owner sees it.
type PasskeyInfo struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	BackedUp bool      `json:"backed_up"` // kept by a service that has it on several devices
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"last_used"` // zero: never
}

func passkeyInfo(k PasskeyRow) PasskeyInfo {
	return PasskeyInfo{ID: k.ID, Name: k.Name, BackedUp: k.Credential.BackedUp, Created: k.Created, LastUsed: k.LastUsed}
}

// ceremony is what must be remembered between a PasskeyStart and its answer. The client keeps it, sealed.
type ceremony struct {
	Challenge string `json:"challenge"`
	User      string `json:"user,omitempty"` // whose the passkey is to be
	Party     string `json:"party"`
	Origin    string `json:"origin"`
	Expires   int64  `json:"expires"` // Unix microseconds
}

// The kinds of ceremonies: one's state is none of the other's.
const (
	passkeyCreate = "passkey create"
	passkeyGet    = "passkey get"
)

func errCeremony() error {
	return protocol.Errorf(protocol.CodeInvalid, "that took too long, or was done already: begin again")
}

func errNoPasskey() error { return protocol.Errorf(protocol.CodeNotFound, "there is no such passkey") }

func errPasskey() error {
	return protocol.Errorf(protocol.CodeCredentials, "this passkey does not serve here")
}

// party is where passkeys belong to. origin is the request's, which counts in development only.
func (a *Accounts) party(origin string) (passkey.Party, error) {
	if a.cfg.Origin != "" {
		origin = a.cfg.Origin
	}
	p, err := passkey.PartyOf(origin)
	if err != nil {
		return p, protocol.Errorf(protocol.CodeNotFound, "there are no passkeys here: the page's address must be a name with https, or localhost")
	}
	return p, nil
}

// begin seals the state of a ceremony.
func (a *Accounts) begin(kind string, p passkey.Party, user string, r passkey.Request, now time.Time) (PasskeyStart, error) {
	expires := now.Add(a.cfg.Limits.PasskeyTTL)
	b, err := json.Marshal(ceremony{Challenge: r.Challenge, User: user, Party: p.ID, Origin: p.Origin, Expires: expires.UnixMicro()})
	if err != nil {
		return PasskeyStart{}, err
	}
	state, err := a.seal(kind, b)
	return PasskeyStart{State: state, Options: r.Options, Expires: expires}, err
}

// resume opens the state of a ceremony that was begun here, or at another node of the service, and is not over.
func (a *Accounts) resume(kind, state, origin string, now time.Time) (ceremony, passkey.Party, error) {
	p, err := a.party(origin)
	if err != nil {
		return ceremony{}, p, err
	}
	b, err := a.unseal(kind, state)
	if err != nil {
		return ceremony{}, p, errCeremony()
	}
	var c ceremony
	if err := json.Unmarshal(b, &c); err != nil {
		return c, p, err
	}
	if now.UnixMicro() >= c.Expires || c.Party != p.ID || c.Origin != p.Origin {
		return c, p, errCeremony()
	}
	return c, p, nil
}

// spend reports whether the challenge was not answered before. It is remembered for as long as it would
// serve, so the transaction must be committed whatever the answer was.
func (a *Accounts) spend(tx Tx, c ceremony, now time.Time) (bool, error) {
	subject := a.mac("passkey", c.Challenge)
	_, err := tx.Code(PurposePasskey, subject)
	if found, err := exists(err); err != nil || found {
		return false, err
	}
	return true, tx.PutCode(CodeRow{Purpose: PurposePasskey, Subject: subject, Created: now, Expires: time.UnixMicro(c.Expires).UTC()})
}

// holder is the user as passkeys know one: by the identity, which names no person.
func holder(u UserRow, keys []PasskeyRow) passkey.User {
	h := passkey.User{Handle: []byte(u.Identity), Name: u.Username, DisplayName: u.Name}
	for _, k := range keys {
		h.Credentials = append(h.Credentials, k.Credential)
	}
	return h
}

// BeginPasskey asks for a new passkey of the user. Errors: credentials, needs_totp, code_invalid, already (there
// are Limits.Passkeys), not_found, rate_limited.
func (a *Accounts) BeginPasskey(ctx context.Context, identity protocol.UserID, p Proof, origin string) (PasskeyStart, error) {
	party, err := a.party(origin)
	if err != nil {
		return PasskeyStart{}, err
	}
	var start PasskeyStart
	err = a.proven(ctx, "passkey_begin", identity, p, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		keys, err := a.room(tx, u)
		if err != nil {
			return nil, err
		}
		r, err := party.Create(a.cfg.Service, holder(u, keys), a.cfg.Limits.PasskeyTTL)
		if err != nil {
			return nil, err
		}
		start, err = a.begin(passkeyCreate, party, u.ID, r, now)
		return nil, err
	})
	if err != nil {
		return PasskeyStart{}, err
	}
	return start, nil
}

// room returns the user's passkeys if there may be one more.
func (a *Accounts) room(tx Tx, u UserRow) ([]PasskeyRow, error) {
	keys, err := tx.Passkeys(u.ID)
	if err == nil && len(keys) >= a.cfg.Limits.Passkeys {
		err = protocol.Errorf(protocol.CodeAlready, "there are %d passkeys: delete one first", len(keys))
	}
	return keys, err
}

// FinishPasskey stores the passkey that a browser made, and tells the user by mail. Errors: code_invalid (the
// state is over, answered, or another's), bad_request (the passkey is not what was asked for, or the name is none), already
// (there are Limits.Passkeys, or it is somebody's), not_found.
func (a *Accounts) FinishPasskey(ctx context.Context, identity protocol.UserID, r PasskeyAnswer) (PasskeyInfo, error) {
	name, err := cleanDeviceName(r.Name)
	if err != nil {
		return PasskeyInfo{}, err
	}
	if name == "" {
		name = describe(DeviceRow{UserAgent: cleanUserAgent(r.Device.UserAgent)})
	}
	c, party, err := a.resume(passkeyCreate, r.State, r.Origin, a.now())
	if err != nil {
		return PasskeyInfo{}, err
	}
	var added PasskeyRow
	var why error
	err = a.change(ctx, "passkey_finish", identity, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		why = nil
		if c.User != u.ID {
			return nil, errCeremony()
		}
		fresh, err := a.spend(tx, c, now)
		if err != nil {
			return nil, err
		}
		if !fresh {
			return nil, errCeremony()
		}
		credential, err := party.Created(holder(u, nil), c.Challenge, r.Credential)
		if err != nil {
			a.cfg.Logger.Info("accounts: a new passkey was refused", "err", err)
			why = protocol.Errorf(protocol.CodeBadRequest, "credential: this is not the passkey that was asked for")
			return nil, nil
		}
		added = PasskeyRow{ID: newID(now), User: u.ID, Credential: credential, Name: name, Created: now}
		return nil, a.keep(tx, u, added, r.Device, now)
	})
	if err == nil {
		err = why
	}
	if err != nil {
		return PasskeyInfo{}, err
	}
	return passkeyInfo(added), nil
}

// keep stores a new passkey.
func (a *Accounts) keep(tx Tx, u UserRow, k PasskeyRow, d Device, now time.Time) error {
	if _, err := a.room(tx, u); err != nil {
		return err
	}
	_, err := tx.PasskeyByCredential(k.Credential.ID)
	found, err := exists(err)
	if err != nil {
		return err
	}
	if found {
		return protocol.Errorf(protocol.CodeAlready, "this passkey is in use")
	}
	if err := tx.InsertPasskey(k); err != nil {
		return err
	}
	if err := a.log(tx, EventPasskeyAdded, u.ID, now, AuditRow{Addr: short(d.Addr)}); err != nil {
		return err
	}
	return a.mail(tx, mail.Message{To: u.Email, Name: u.Name, Language: u.Language, Template: mail.PasskeyAdded,
		Data: mail.Data{Device: describe(DeviceRow{UserAgent: cleanUserAgent(d.UserAgent)}), Place: short(d.Addr), At: now}}, now)
}

// Passkeys lists the user's passkeys, the first made first. Errors: not_found.
func (a *Accounts) Passkeys(ctx context.Context, identity protocol.UserID) ([]PasskeyInfo, error) {
	var list []PasskeyInfo
	err := a.cfg.Store.Read(ctx, "passkeys", func(r Reader) error {
		list = []PasskeyInfo{}
		u, err := a.user(r, identity)
		if err != nil {
			return err
		}
		keys, err := r.Passkeys(u.ID)
		for _, k := range keys {
			list = append(list, passkeyInfo(k))
		}
		return err
	})
	return list, err
}

// ownPasskey returns the user's passkey. Another's does not exist.
func ownPasskey(r Reader, u UserRow, id string) (PasskeyRow, error) {
	if !plainID(id) {
		return PasskeyRow{}, errNoPasskey()
	}
	k, err := r.Passkey(id)
	if errors.Is(err, ErrNotFound) || err == nil && k.User != u.ID {
		return PasskeyRow{}, errNoPasskey()
	}
	return k, err
}

// RenamePasskey names the user's passkey. Errors: not_found (also if it is another's), bad_request.
func (a *Accounts) RenamePasskey(ctx context.Context, identity protocol.UserID, id, name string) (PasskeyInfo, error) {
	name, err := cleanDeviceName(name)
	if err == nil && name == "" {
		err = protocol.Errorf(protocol.CodeBadRequest, "name: empty")
	}
	if err != nil {
		return PasskeyInfo{}, err
	}
	var renamed PasskeyRow
	err = a.change(ctx, "passkey_rename", identity, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		k, err := ownPasskey(tx, u, id)
		if err != nil {
			return nil, err
		}
		k.Name = name
		renamed = k
		if err := tx.UpdatePasskey(k); err != nil {
			return nil, err
		}
		return nil, a.log(tx, EventPasskeyRenamed, u.ID, now, AuditRow{})
	})
	return passkeyInfo(renamed), err
}

// DeletePasskey has the user's passkey serve no more; sessions that it opened stay. Errors: not_found
// (also if it is another's).
func (a *Accounts) DeletePasskey(ctx context.Context, identity protocol.UserID, id string) error {
	return a.change(ctx, "passkey_delete", identity, func(tx Tx, u UserRow, now time.Time) ([]string, error) {
		k, err := ownPasskey(tx, u, id)
		if err != nil {
			return nil, err
		}
		if err := tx.DeletePasskey(k.ID); err != nil {
			return nil, err
		}
		return nil, a.log(tx, EventPasskeyDeleted, u.ID, now, AuditRow{})
	})
}

package accounts_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/protocol"
)

// TestGuestBecomesUser: the identity stays, once.
func TestGuestBecomesUser(t *testing.T) {
	h := open(t)
	guest := protocol.UserID("g_abcdefghijklmnopqrstuvwxyz")
	join := func(name string) accounts.User {
		d := device(name, "198.51.100.7")
		_, err := h.Register(t.Context(), accounts.Registration{Email: name + "@example.org", Username: name, Password: password, Guest: guest, Device: d})
		wantCode(t, err, "")
		l, err := h.Verify(t.Context(), name+"@example.org", h.letter(mail.Verify, name+"@example.org").Data.Code, d)
		wantCode(t, err, "")
		return l.User
	}
	if was, err := h.Registered(t.Context(), guest); was || err != nil {
		t.Error(was, err)
	}
	if u := join("ann"); u.Identity != guest {
		t.Errorf("identity %q", u.Identity)
	}
	if was, err := h.Registered(t.Context(), guest); !was || err != nil {
		t.Error(was, err)
	}
	if u := join("bob"); u.Identity == guest || !strings.HasPrefix(string(u.Identity), "u_") {
		t.Errorf("a second user with the guest's identity: %q", u.Identity)
	}
}

func TestDevices(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		ann, bob := h.join("ann"), h.join("bob")
		phone := h.login("ann", device("phone", "203.0.113.9"))
		list, err := h.Devices(ctx, ann.User.Identity, phone.Session)
		if err != nil || len(list) != 2 || !list[0].Current || list[1].Current || list[0].Addr != "203.0.113.0/24" || list[0].Name != "Firefox on Linux" {
			t.Fatalf("%+v, %v", list, err)
		}
		if d, err := h.RenameDevice(ctx, ann.User.Identity, list[0].ID, " my  phone "); err != nil || d.Name != "my phone" {
			t.Errorf("%+v, %v", d, err)
		}
		// Bob's hands stay off.
		_, err = h.RenameDevice(ctx, bob.User.Identity, list[0].ID, "mine")
		wantCode(t, err, protocol.CodeNotFound)
		wantCode(t, h.RevokeDevice(ctx, bob.User.Identity, list[0].ID), protocol.CodeNotFound)
		if h.isRevoked(phone.Session) {
			t.Fatal("another's device was revoked")
		}
		wantCode(t, h.RevokeDevice(ctx, ann.User.Identity, list[0].ID), "")
		if !h.isRevoked(phone.Session) || h.isRevoked(ann.Session) {
			t.Error("the wrong session was revoked")
		}
		_, err = h.Refresh(ctx, phone.Refresh, accounts.Device{})
		wantCode(t, err, protocol.CodeUnauthorized)
		wantCode(t, h.RevokeDevice(ctx, ann.User.Identity, list[0].ID), protocol.CodeNotFound)
		if list, err := h.Devices(ctx, ann.User.Identity, ann.Session); err != nil || len(list) != 1 || !list[0].Current {
			t.Errorf("%+v, %v", list, err)
		}
		h.post()
		h.advance(time.Minute)
		if again := h.login("ann", device("phone", "203.0.113.9")); !again.NewDevice {
			t.Error("a revoked device is known")
		}
		h.letter(mail.NewDevice, "ann@example.org")
		revoked, err := h.store.Revocations(ctx, 0, 10)
		if err != nil || len(revoked) != 1 || revoked[0].Session != phone.Session || !revoked[0].Until.After(h.now().Add(50*time.Minute)) {
			t.Errorf("revocations %+v, %v", revoked, err)
		}
	})
}

// TestManyDevices: the longest unseen goes, with its session.
func TestManyDevices(t *testing.T) {
	h := openWith(t, func(cfg *accounts.Config) { cfg.Limits = unlimited(); cfg.Limits.Devices = 3 })
	first := h.join("ann")
	for i := range 5 {
		h.advance(time.Minute)
		h.login("ann", device(fmt.Sprint("d", i), "203.0.113.9"))
	}
	list, err := h.Devices(t.Context(), first.User.Identity, "")
	if err != nil || len(list) != 3 || !h.isRevoked(first.Session) || len(h.dump()["user_devices"]) != 3 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestPasswords(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		ctx, l := t.Context(), h.join("ann")
		phone := h.login("ann", device("phone", "203.0.113.9"))
		h.post()
		id := l.User.Identity
		wantCode(t, h.ChangePassword(ctx, id, l.Session, accounts.Proof{Password: "wrong"}, "a new password"), protocol.CodeCredentials)
		wantCode(t, h.ChangePassword(ctx, id, l.Session, accounts.Proof{Password: password}, "short"), protocol.CodeBadRequest)
		wantCode(t, h.ChangePassword(ctx, id, l.Session, accounts.Proof{Password: password}, "ann@example.org"), protocol.CodeBadRequest)
		wantCode(t, h.ChangePassword(ctx, id, l.Session, accounts.Proof{Password: password}, "a new password"), "")
		h.letter(mail.PasswordChanged, "ann@example.org")
		if !h.isRevoked(phone.Session) || h.isRevoked(l.Session) {
			t.Error("the wrong sessions ended")
		}
		_, err := h.Login(ctx, accounts.LoginRequest{Who: "ann", Password: password, Device: device("phone", "203.0.113.9")})
		wantCode(t, err, protocol.CodeCredentials)

		h.protectWith(l, "a new password")
		h.advance(time.Hour)
		_, err = h.Forgot(ctx, "ANN@example.org", device("phone", "203.0.113.9"))
		wantCode(t, err, "")
		code := h.letter(mail.Reset, "ann@example.org").Data.Code
		for i := range 8 { // at other devices it is nothing, and they use none of its tries up
			wantCode(t, h.Reset(ctx, "ann@example.org", code, "the third password", device([]string{"", "laptop", "device-of-ann"}[i%3], "203.0.113.9")), protocol.CodeInvalid)
		}
		wantCode(t, h.Reset(ctx, "ann@example.org", "x", "the third password", device("phone", "203.0.113.9")), protocol.CodeInvalid)
		wantCode(t, h.Reset(ctx, "ann@example.org", code, "short", device("phone", "203.0.113.9")), protocol.CodeBadRequest)
		wantCode(t, h.Reset(ctx, "ann@example.org", code, "the third password", device("phone", "203.0.113.9")), "")
		h.letter(mail.PasswordChanged, "ann@example.org")
		wantCode(t, h.Reset(ctx, "ann@example.org", code, "the fourth password", device("phone", "203.0.113.9")), protocol.CodeInvalid)
		if !h.isRevoked(l.Session) {
			t.Error("a session outlives a reset")
		}
		_, err = h.Login(ctx, accounts.LoginRequest{Who: "ann", Password: "the third password", Device: device("phone", "203.0.113.9")})
		wantCode(t, err, protocol.CodeNeedsTOTP) // a reset is no way around it
	})
}

// TestForgotUnknown sends nothing.
func TestForgotUnknown(t *testing.T) {
	h := open(t)
	_, err := h.Forgot(t.Context(), "zoe@example.org", device("", "203.0.113.9"))
	wantCode(t, err, "")
	if list := h.post(); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	h.mustLack([]string{"zoe"})
}

func TestDeactivate(t *testing.T) {
	h := open(t)
	l := h.join("ann")
	wantCode(t, h.Deactivate(t.Context(), l.User.Identity, accounts.Proof{Password: "wrong"}), protocol.CodeCredentials)
	wantCode(t, h.Deactivate(t.Context(), l.User.Identity, accounts.Proof{Password: password}), "")
	if me, err := h.Me(t.Context(), l.User.Identity); err != nil || me.Active || !h.isRevoked(l.Session) {
		t.Errorf("%+v, %v", me, err)
	}
	if l := h.login("ann", device("device-of-ann", "198.51.100.7")); !l.User.Active {
		t.Error("still at rest")
	}
}

// TestDeletionAndExport: what is stored of a person is in the export, and after the deletion nowhere.
func TestDeletionAndExport(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		bob, ann := h.join("bobby"), h.join("annabel")
		id := ann.User.Identity
		name, languages, interests := "Annabel Lee ✿", []string{"de"}, []string{"kingdom by the sea"}
		avatar := "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
		_, err := h.UpdateProfile(ctx, id, 0, accounts.Patch{Name: &name, Avatar: &avatar, Languages: &languages, Interests: &interests})
		wantCode(t, err, "")
		d := device("phone", "192.0.2.77")
		d.Name, d.UserAgent = "annabels phone", "Mozilla/5.0 (annabels browser)"
		h.login("annabel", d)
		_, recovery := h.protect(ann)
		_, err = h.Forgot(ctx, "annabel@example.org", d)
		wantCode(t, err, "")
		h.advance(time.Hour)
		_, err = h.Register(ctx, accounts.Registration{Email: "annabel@example.org", Username: "annabel2", Password: password, Name: "Annabel", Device: d})
		wantCode(t, err, "")
		_, err = h.SetRoles(ctx, "", id, []auth.Role{auth.RoleModerator})
		wantCode(t, err, "")
		_, err = h.SetDisabled(ctx, id, bob.User.Identity, true)
		wantCode(t, err, "")

		words := []string{"annabel", "✿", "kingdom", "iVBORw0", "192.0.2", string(id), "198.51.100"}
		e, err := h.Export(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if !strings.Contains(string(text), w) {
				t.Errorf("%q is not in the export", w)
			}
		}
		h.exportHasAll(ann.User.ID, string(text))

		h.post()
		wantCode(t, h.Delete(ctx, id, accounts.Proof{Password: password, Code: recovery[0]}), "")
		h.letter(mail.Deleted, "annabel@example.org")
		if _, ok := h.deleted.Load(id); !ok || !h.isRevoked(ann.Session) {
			t.Error("nobody was told")
		}
		gone, err := h.Departures(ctx)
		if err != nil || !slices.Equal(gone, []protocol.UserID{id}) {
			t.Fatalf("left: %v, %v", gone, err)
		}
		wantCode(t, h.Departed(ctx, id), "")                   // with that the last row goes
		words[slices.Index(words, "198.51.100")] = ann.User.ID // of bob there is that address too
		h.mustLack(words)
		_, err = h.Me(ctx, id)
		wantCode(t, err, protocol.CodeNotFound)
		if me, err := h.Me(ctx, bob.User.Identity); err != nil || me.Username != "bobby" {
			t.Errorf("%+v, %v", me, err)
		}
		if h.join("annabel").User.Identity == id {
			t.Error("somebody else has the identity")
		}
	})
}

// exportHasAll: each value of each row that belongs to the user is in the export, but for what is secret
// (hashes, the sealed), spelt otherwise (times) or an inner key.
func (h *house) exportHasAll(user, export string) {
	h.t.Helper()
	secret := []string{"password_hash", "secret", "hash", "family", "email_key", "user_id", "actor_id", "last_step"}
	for table, rows := range h.dump() {
		for _, row := range rows {
			if !strings.Contains(row, user) {
				continue
			}
			for field := range strings.SplitSeq(row, " ") {
				column, value, ok := strings.Cut(field, "=")
				if !ok || value == "" || column == "id" && table != "sessions" && table != "user_devices" || column == "device_id" && table == "user_devices" ||
					strings.HasSuffix(column, "_at") || strings.HasPrefix(column, "is_") || column == "device_info" || column == "roles" || slices.Contains(secret, column) {
					continue
				}
				if value = strings.Trim(value, `[]"`); !strings.Contains(export, value) {
					h.t.Errorf("%s.%s = %q is not in the export", table, column, value)
				}
			}
		}
	}
}

func TestAdministration(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		root, err := h.CreateAdmin(ctx, accounts.Registration{Email: "root@example.org", Username: "root_1", Password: password})
		if err != nil || !root.Has(auth.RoleAdmin) || !root.Has(auth.RoleUser) {
			t.Fatal(root, err)
		}
		_, err = h.CreateAdmin(ctx, accounts.Registration{Email: "ROOT@example.org", Username: "root_2", Password: password})
		wantCode(t, err, protocol.CodeAlready)
		_, err = h.CreateAdmin(ctx, accounts.Registration{Email: "root2@example.org", Username: "root_1", Password: password})
		wantCode(t, err, protocol.CodeTaken)
		h.advance(time.Minute)
		rootLogin := h.login("root_1", device("r", "198.51.100.7"))
		h.letter(mail.NewDevice, "root@example.org")
		ann := h.join("ann")

		for _, who := range []string{"ann", "ANN", "ann@Example.org", string(ann.User.Identity)} {
			if u, err := h.Find(ctx, who); err != nil || u.Identity != ann.User.Identity {
				t.Errorf("%s: %+v, %v", who, u, err)
			}
		}
		for who, code := range map[string]protocol.Code{
			"nobody": protocol.CodeNotFound, "": protocol.CodeNotFound, "nobody@example.org": protocol.CodeNotFound, "@": protocol.CodeBadRequest, "a\x00\xff": protocol.CodeNotFound,
		} {
			_, err := h.Find(ctx, who)
			wantCode(t, err, code)
		}
		mimic := h.join(string(ann.User.Identity)) // as a username
		_, err = h.Find(ctx, mimic.User.Username)
		wantCode(t, err, protocol.CodeBadRequest)
		wantCode(t, h.Delete(ctx, mimic.User.Identity, accounts.Proof{Password: password}), "")
		h.letter(mail.Deleted, mimic.User.Email)

		_, err = h.SetRoles(ctx, root.Identity, root.Identity, nil)
		wantCode(t, err, protocol.CodeForbidden)
		_, err = h.SetRoles(ctx, "", root.Identity, nil)
		wantCode(t, err, protocol.CodeForbidden)
		_, err = h.SetDisabled(ctx, root.Identity, root.Identity, true)
		wantCode(t, err, protocol.CodeForbidden)
		wantCode(t, h.Delete(ctx, root.Identity, accounts.Proof{Password: password}), protocol.CodeForbidden)
		_, err = h.SetRoles(ctx, root.Identity, "u_nobody", nil)
		wantCode(t, err, protocol.CodeNotFound)
		_, err = h.SetRoles(ctx, root.Identity, ann.User.Identity, []auth.Role{"king"})
		wantCode(t, err, protocol.CodeBadRequest)

		u, err := h.SetRoles(ctx, root.Identity, ann.User.Identity, []auth.Role{auth.RoleAdmin})
		if err != nil || !slices.Equal(u.Roles, []auth.Role{auth.RoleAdmin, auth.RoleUser}) || h.isRevoked(ann.Session) {
			t.Fatal(u, err)
		}
		u, err = h.SetRoles(ctx, u.Identity, root.Identity, []auth.Role{auth.RoleModerator})
		if err != nil || u.Has(auth.RoleAdmin) || !h.isRevoked(rootLogin.Session) {
			t.Fatal(u, err)
		}
		if u, err = h.SetDisabled(ctx, ann.User.Identity, root.Identity, true); err != nil || !u.Disabled {
			t.Fatal(u, err)
		}
		_, err = h.Login(ctx, accounts.LoginRequest{Who: "root_1", Password: password, Device: device("r", "198.51.100.7")})
		wantCode(t, err, protocol.CodeForbidden)
		_, err = h.Login(ctx, accounts.LoginRequest{Who: "root_1", Password: "wrong horse", Device: device("r", "198.51.100.7")})
		wantCode(t, err, protocol.CodeCredentials)
		_, err = h.SetDisabled(ctx, ann.User.Identity, root.Identity, false)
		wantCode(t, err, "")
		h.advance(time.Hour)
		h.login("root_1", device("r", "198.51.100.7"))

		for i := range 5 {
			h.advance(time.Hour)
			h.join(fmt.Sprintf("member_%d", i))
		}
		var names []string
		page := accounts.Page{Limit: 3}
		for {
			users, err := h.List(ctx, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range users {
				names = append(names, u.Username)
			}
			if len(users) < 3 {
				break
			}
			page.After = users[2].Identity
		}
		if want := []string{"root_1", "ann", "member_0", "member_1", "member_2", "member_3", "member_4"}; !slices.Equal(names, want) {
			t.Errorf("%v", names)
		}
		if users, err := h.List(ctx, accounts.Page{Search: "Member_"}); err != nil || len(users) != 5 {
			t.Errorf("%d found, %v", len(users), err)
		}
		_, err = h.List(ctx, accounts.Page{After: "u_nobody"})
		wantCode(t, err, protocol.CodeBadRequest)
	})
}

// TestSweep: what is over goes, what is not stays.
func TestSweep(t *testing.T) {
	onEngines(t, func(t *testing.T, h *house) {
		l := h.join("ann")
		d := device("x", "203.0.113.5")
		_, err := h.Register(t.Context(), accounts.Registration{Email: "bob@example.org", Username: "bob", Password: password, Device: d})
		wantCode(t, err, "")
		_, err = h.Forgot(t.Context(), "ann@example.org", d)
		wantCode(t, err, "")
		wantCode(t, h.Logout(t.Context(), h.login("ann", d).Session), "")
		before := h.dump()
		wantCode(t, h.Sweep(t.Context()), "")
		if diff := equalDumps(before, h.dump()); diff != "" {
			t.Fatal("too early: ", diff)
		}
		h.advance(2 * time.Hour)
		wantCode(t, h.Sweep(t.Context()), "")
		after := h.dump()
		for _, table := range []string{"registrations", "one_time_codes", "revocations"} {
			if len(after[table]) != 0 {
				t.Errorf("%s: %v", table, after[table])
			}
		}
		if _, err := h.Refresh(t.Context(), l.Refresh, device("", "203.0.113.5")); err != nil {
			t.Error(err)
		}
		h.advance(181 * 24 * time.Hour)
		wantCode(t, h.Sweep(t.Context()), "")
		after = h.dump()
		for _, table := range []string{"sessions", "refresh_tokens", "audit_log"} {
			if len(after[table]) != 0 {
				t.Errorf("%s: %v", table, after[table])
			}
		}
		if len(after["users"]) != 1 {
			t.Error("the user is gone")
		}
	})
}

package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// device is a subscription.
func (h house) device(id, user string, created int64) conversations.Subscription {
	s := conversations.Subscription{ID: h.name + "_" + id, User: h.user(user), Session: h.name + "_s_" + id, Created: created}
	s.Endpoint, s.Keys = "https://push.example/"+h.name+"/"+id, protocol.PushKeys{P256dh: "key-" + id, Auth: "auth-" + id}
	return s
}

func (h house) devices(t testing.TB, user string) []conversations.Subscription {
	t.Helper()
	return read(t, h, func(r conversations.Reader) ([]conversations.Subscription, error) {
		return r.Subscriptions(h.user(user))
	})
}

func testSubscriptions(t *testing.T, h house) {
	put := func(list ...conversations.Subscription) {
		t.Helper()
		for _, s := range list {
			h.write(t, func(tx conversations.Tx) error { return tx.PutSubscription(s) })
		}
	}
	b, a, a2, c := h.device("b", "ann", 5), h.device("a", "ann", 5), h.device("A", "ann", 6), h.device("c", "bo", 7)
	put(b, a2, a, c)
	same(t, "Subscriptions", h.devices(t, "ann"), []conversations.Subscription{a, b, a2})
	same(t, "of nobody", len(h.devices(t, "ann ")), 0)
	a.User, a.Session, a.Endpoint, a.Keys.Auth, a.Created, a.Failed = h.user("bo"), c.Session, a.Endpoint+"?ü=1", "new", 9, 3
	put(a)
	same(t, "replaced", h.devices(t, "bo"), []conversations.Subscription{c, a})
	h.write(t, func(tx conversations.Tx) error { return tx.SetFailed(c.ID, 2) })
	h.write(t, func(tx conversations.Tx) error { return tx.SetFailed(h.name+"_none", 2) })
	c.Failed = 2
	same(t, "SetFailed", h.devices(t, "bo"), []conversations.Subscription{c, a})
	h.write(t, func(tx conversations.Tx) error { return tx.DeleteSubscription(b.ID) })
	h.write(t, func(tx conversations.Tx) error { return tx.DeleteSubscription(b.ID) })
	same(t, "DeleteSubscription", h.devices(t, "ann"), []conversations.Subscription{a2})
	h.write(t, func(tx conversations.Tx) error { return tx.EndSubscriptions("", nil) })
	h.write(t, func(tx conversations.Tx) error { return tx.EndSubscriptions("", []string{"none", c.Session}) })
	same(t, "with their session", len(h.devices(t, "bo")), 0)
	put(b)
	h.write(t, func(tx conversations.Tx) error { return tx.EndSubscriptions(h.user("ann"), []string{}) })
	same(t, "with their user", len(h.devices(t, "ann")), 0)
}

// testSubscribed: who is in the room, did not write and has not read; all or some.
func testSubscribed(t *testing.T, h house) {
	h.write(t, func(tx conversations.Tx) error {
		for i, m := range []conversations.Member{
			h.member("r", "ann", "owner", 0), h.member("r", "bo", "moderator", 4), h.member("r", "cy", "member", 3), h.member("r", "dot", "member", 5),
			h.member("r", "ed", "left", 0), h.member("r", "flo", "banned", 0), h.member("r", "gus", "invited", 0), h.member("r", "hal", "member", 0),
			h.member("q", "ed", "member", 0), // elsewhere
		} {
			if err := tx.PutMember(m); err != nil {
				return err
			}
			if m.ID == h.user("hal") { // has no device
				continue
			}
			for _, n := range []string{"1", "2"} {
				if err := tx.PutSubscription(h.device(string(m.ID)+n, string(m.ID[len("u_")+len(h.name)+1:]), int64(i))); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, test := range []struct {
		q    conversations.Subscribed
		want string
	}{
		{conversations.Subscribed{Room: h.room("r"), Seq: 5}, "ann1 ann2 bo1 bo2 cy1 cy2 "},
		{conversations.Subscribed{Room: h.room("r"), Seq: 4, Author: h.user("ann")}, "cy1 cy2 "},
		{conversations.Subscribed{Room: h.room("r"), Seq: 6, Among: []protocol.UserID{h.user("dot"), h.user("ed"), h.user("hal"), h.user("none"), "x' OR '1"}}, "dot1 dot2 "},
		{conversations.Subscribed{Room: h.room("none"), Seq: 6}, ""},
	} {
		list := read(t, h, func(r conversations.Reader) ([]conversations.Subscription, error) { return r.Subscribed(test.q) })
		slices.SortFunc(list, func(a, b conversations.Subscription) int { return strings.Compare(a.ID, b.ID) })
		got := ""
		for _, s := range list {
			got += s.ID[len(h.name+"_u_"+h.name+"_"):] + " "
		}
		same(t, fmt.Sprintf("Subscribed %+v", test.q), got, test.want)
	}
}

// member is one who has read so far.
func (h house) member(room, user string, role protocol.ConvRole, read uint64) conversations.Member {
	return conversations.Member{Room: h.room(room), ConvPerson: protocol.ConvPerson{ID: h.user(user), Role: role, Read: read}}
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/events"
	"github.com/rondo-chat/rondo/events/webpush"
	"github.com/rondo-chat/rondo/internal/outbound"
	"github.com/rondo-chat/rondo/protocol"
)

// pushSink is the name of notifications among the sinks.
const pushSink = "web-push"

// pushConfig is the part of config that says whether and how people are told of messages while the page is closed.
type pushConfig struct {
	Enabled bool
	Contact string
}

func (c *pushConfig) flags(fs *flag.FlagSet) {
	fs.BoolVar(&c.Enabled, "web-push", true, "tell people of new messages of conversations while the page is closed, if they ask for it")
	fs.StringVar(&c.Contact, "web-push-contact", "", "`address` of who runs the service, mailto:… or https://…, which push services get (default: an https public-url)")
}

// pushSubscription makes the sink that sends notifications, and returns its public key; "" if there are none. Their endpoints are URLs of
// users: way must reach nothing inside.
func (n *node) pushSubscription(store conversations.Store, way *outbound.Dialer) (sub events.Subscription, key string, err error) {
	k, err := webpush.NewKey(n.signer.Key("web push"))
	if err != nil {
		return sub, "", err
	}
	contact := n.cfg.Push.Contact
	if at := n.cfg.origin(); contact == "" && strings.HasPrefix(at, "https://") {
		contact = at
	}
	sink, err := webpush.New(webpush.Config{
		Devices: &pushDevices{store}, Key: k, Contact: contact, Client: way.Client(),
		Logger: n.log, Registerer: n.metrics.Registerer(),
	})
	if err != nil {
		return sub, "", fmt.Errorf("%w: web-push-contact: %w", errUsage, err)
	}
	// What people get of their own conversations is encrypted for them.
	return events.Subscription{Name: pushSink, Sink: sink, Types: []events.Type{events.Message}, Private: true}, k.Public(), nil
}

// pushDevices is what notifications ask the conversations' database.
type pushDevices struct{ store conversations.Store }

var _ webpush.Devices = (*pushDevices)(nil)

// Room implements webpush.Devices.
func (p *pushDevices) Room(ctx context.Context, room protocol.RoomID) (kind protocol.ConvKind, name string, err error) {
	err = p.store.Read(ctx, "push room", func(r conversations.Reader) error {
		row, err := r.Conversation(room)
		if errors.Is(err, conversations.ErrNotFound) || row.Deleted {
			kind, name = "", ""
			return nil
		}
		kind, name = row.Kind, row.Name
		return err
	})
	return kind, name, err
}

// Names implements webpush.Devices.
func (p *pushDevices) Names(ctx context.Context, room protocol.RoomID, ids []protocol.UserID) (names map[protocol.UserID]string, err error) {
	err = p.store.Read(ctx, "push names", func(r conversations.Reader) error {
		names = map[protocol.UserID]string{}
		for _, id := range ids {
			m, err := r.Member(room, id)
			if err != nil && !errors.Is(err, conversations.ErrNotFound) {
				return err
			}
			names[id] = m.Name
		}
		return nil
	})
	return names, err
}

// Of implements webpush.Devices.
func (p *pushDevices) Of(ctx context.Context, q webpush.Query) (devices []webpush.Device, err error) {
	err = p.store.Read(ctx, "push devices", func(r conversations.Reader) error {
		list, err := r.Subscribed(conversations.Subscribed(q))
		devices = nil
		for _, s := range list {
			devices = append(devices, webpush.Device{ID: s.ID, User: s.User, PushSubscription: s.PushSubscription, Failed: s.Failed})
		}
		return err
	})
	return devices, err
}

// Still implements webpush.Devices.
func (p *pushDevices) Still(ctx context.Context, d webpush.Device) (still bool, err error) {
	err = p.store.Read(ctx, "push device", func(r conversations.Reader) error {
		list, err := r.Subscriptions(d.User)
		still = false
		for _, s := range list {
			still = still || s.ID == d.ID && s.PushSubscription == d.PushSubscription
		}
		return err
	})
	return still, err
}

// Remove implements webpush.Devices.
func (p *pushDevices) Remove(ctx context.Context, id string) error {
	return p.store.Write(ctx, "push remove", func(tx conversations.Tx) error { return tx.DeleteSubscription(id) })
}

// SetFailed implements webpush.Devices.
func (p *pushDevices) SetFailed(ctx context.Context, id string, failed int) error {
	return p.store.Write(ctx, "push failed", func(tx conversations.Tx) error { return tx.SetFailed(id, failed) })
}

package api

import (
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/protocol"
)

// pushRoutes are those of notifications: where they go, and what they are signed with.
func pushRoutes(read, change limit) []Route {
	const mine = "/api/v1/me/push"
	return []Route{
		{Method: "GET", Path: "/api/v1/push", Action: auth.ActionPublic, limit: read, serve: pushKey},
		{Method: "GET", Path: mine, Action: auth.ActionPush, limit: read, serve: pushing(pushDevices)},
		{Method: "POST", Path: mine, Action: auth.ActionPush, limit: change, serve: pushing(subscribe)},
		{Method: "DELETE", Path: mine + "/{id}", Action: auth.ActionPush, limit: change, serve: pushing(unsubscribe)},
	}
}

// pushing makes a handler of a function that is about the caller's own devices.
func pushing(f func(c *call, who conversations.Caller) (answer, error)) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		if c.api.cfg.PushKey == "" {
			return answer{}, errNoPush()
		}
		return f(c, conversations.Caller{Principal: c.who})
	}
}

func errNoPush() error {
	return protocol.Errorf(protocol.CodeNotFound, "there are no notifications here")
}

type pushKeyAnswer struct {
	Key string `json:"key"`
}

func pushKey(c *call) (answer, error) {
	if c.api.cfg.PushKey == "" {
		return answer{}, errNoPush()
	}
	return ok(pushKeyAnswer{c.api.cfg.PushKey})
}

type pushDevicesAnswer struct {
	Devices []protocol.PushDevice `json:"devices"`
}

func pushDevices(c *call, who conversations.Caller) (answer, error) {
	list, err := c.api.cfg.Conversations.Subscriptions(c.r.Context(), who)
	return answerOf(pushDevicesAnswer{listOf(list)}, err)
}

type subscribeRequest struct {
	Endpoint string            `json:"endpoint" need:"true" max:"2048"`
	Keys     protocol.PushKeys `json:"keys" need:"true"`
}

func subscribe(c *call, who conversations.Caller) (answer, error) {
	in, err := decode[subscribeRequest](c)
	if err != nil {
		return answer{}, err
	}
	return answerOf(c.api.cfg.Conversations.Subscribe(c.r.Context(), who, protocol.PushSubscription(in)))
}

func unsubscribe(c *call, who conversations.Caller) (answer, error) {
	id, err := c.pathID("id")
	if err != nil {
		return answer{}, err
	}
	return c.done(c.api.cfg.Conversations.Unsubscribe(c.r.Context(), who, id))
}

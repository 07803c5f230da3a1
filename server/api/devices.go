package api

import "github.com/rondo-chat/rondo/accounts"

type deviceAnswer struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	UserAgent  string `json:"user_agent"`
	Address    string `json:"address"`
	CreatedAt  int64  `json:"created_at"`
	LastSeenAt int64  `json:"last_seen_at"`
	Current    bool   `json:"current"`
}

func deviceOf(d accounts.DeviceInfo) deviceAnswer {
	return deviceAnswer{
		ID: d.ID, Name: d.Name, UserAgent: d.UserAgent, Address: d.Addr,
		CreatedAt: millis(d.Created), LastSeenAt: millis(d.LastSeen), Current: d.Current,
	}
}

type devicesAnswer struct {
	Devices []deviceAnswer `json:"devices"`
}

func devices(c *call) (answer, error) {
	list, err := c.api.cfg.Accounts.Devices(c.r.Context(), c.who.Identity, c.who.Session)
	if err != nil {
		return answer{}, err
	}
	out := devicesAnswer{Devices: []deviceAnswer{}}
	for _, d := range list {
		out.Devices = append(out.Devices, deviceOf(d))
	}
	return ok(out)
}

type deviceRequest struct {
	Name string `json:"name" need:"true" max:"1024"`
}

func renameDevice(c *call) (answer, error) {
	in, err := decode[deviceRequest](c)
	if err != nil {
		return answer{}, err
	}
	id, err := c.pathID("id")
	if err != nil {
		return answer{}, err
	}
	d, err := c.api.cfg.Accounts.RenameDevice(c.r.Context(), c.who.Identity, id, in.Name)
	if err != nil {
		return answer{}, err
	}
	return ok(deviceOf(d))
}

func revokeDevice(c *call) (answer, error) {
	id, err := c.pathID("id")
	if err != nil {
		return answer{}, err
	}
	return c.done(c.api.cfg.Accounts.RevokeDevice(c.r.Context(), c.who.Identity, id))
}

package table

import "context"

// turn compares relays with coturn.
func (g *group) turn(context.Context) error {
	g.lacks("", "not measured yet")
	return nil
}

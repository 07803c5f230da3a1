package rooms_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/rooms"
	"github.com/rondo-chat/rondo/rooms/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	storetest.Run(t, func(testing.TB) rooms.Store { return rooms.NewMemory() })
	storetest.RunLosses(t, func(testing.TB) (rooms.Store, func() func(bool)) {
		s := rooms.NewMemory()
		return s, s.Save
	})
}

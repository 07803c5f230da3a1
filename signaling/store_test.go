package signaling_test

import (
	"testing"

	"github.com/rondo-chat/rondo/signaling"
	"github.com/rondo-chat/rondo/signaling/storetest"
)

func TestMemoryStore(t *testing.T) {
	storetest.Run(t, func(testing.TB) signaling.Store { return signaling.NewMemoryStore() })
}

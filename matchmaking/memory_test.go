package matchmaking_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/matchmaking"
	"github.com/rondo-chat/rondo/matchmaking/queuetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryConforms(t *testing.T) {
	queuetest.Run(t, func(*testing.T) queuetest.Driver {
		q := matchmaking.NewMemoryQueue()
		return queuetest.Driver{Queue: q, Relations: matchmaking.NewMemoryRelations(), Audit: q.Audit}
	})
}

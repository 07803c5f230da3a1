package mail_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/rondo-chat/rondo/internal/mail"
	"github.com/rondo-chat/rondo/internal/mail/mailtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	mailtest.Run(t, func(*testing.T) mailtest.Outbox { return mail.NewMemory() })
}

package auth_test

import (
	"testing"

	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/auth/keystoretest"
)

func TestMemoryKeys(t *testing.T) {
	keystoretest.Run(t, func(testing.TB) auth.KeyStore { return &auth.MemoryKeys{} })
}

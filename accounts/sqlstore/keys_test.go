package sqlstore_test

import (
	"testing"

	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/auth/keystoretest"
)

// TestKeyStore runs the suite on each engine: one server for all of it, whose
// keys each test finds gone.
func TestKeyStore(t *testing.T) {
	onEngines(t, func(t *testing.T, open func(testing.TB) *sqlstore.Store) {
		store := open(t)
		keystoretest.Run(t, func(t testing.TB) auth.KeyStore {
			all, err := store.Keys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range all {
				if err := store.Remove(t.Context(), k.Kid); err != nil {
					t.Fatal(err)
				}
			}
			return store
		})
	})
}

package turnserver

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

const portableTests = "TestPortable/"

// TestPortable runs what is tested of a server once more, without the data plane
// of this system.
func TestPortable(t *testing.T) {
	tests := everyPath()
	if hasDataPlane {
		for name, test := range tests {
			t.Run(name, test)
		}
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(fn.Name.Name, "Test") || onePath(name, fn.Name.Name) {
				continue
			}
			if tests[strings.TrimPrefix(fn.Name.Name, "Test")] == nil {
				t.Errorf("%s: %s is not in everyPath", name, fn.Name.Name)
			}
		}
	}
}

// onePath are the tests that have nothing to do with how packets move, or choose it
// themselves.
func onePath(file, test string) bool {
	switch file {
	case "config_test.go", "rfc5769_test.go", "share_test.go", "differential_test.go", "dataplane_linux_test.go", "cost_linux_test.go", "portable_test.go":
		return true
	}
	return test == "TestMain"
}

func everyPath() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"HangFrames":                   TestHangFrames,
		"Bytewise":                     TestBytewise,
		"IdleConnections":              TestIdleConnections,
		"ConnectionCaps":               TestConnectionCaps,
		"SlowReader":                   TestSlowReader,
		"TLSGarbage":                   TestTLSGarbage,
		"UnauthenticatedFlood":         TestUnauthenticatedFlood,
		"EstablishedClientDuringFlood": TestEstablishedClientDuringFlood,
		"GarbageFlood":                 TestGarbageFlood,
		"Quotas":                       TestQuotas,
		"OwnAddresses":                 TestOwnAddresses,
		"InboundPolicy":                TestInboundPolicy,
		"IPv6":                         TestIPv6,
		"SendDisguised":                TestSendDisguised,
		"NonceExpires":                 TestNonceExpires,
		"CredentialExpires":            TestCredentialExpires,
		"SecretRotation":               TestSecretRotation,
		"StaticSecret":                 TestStaticSecret,
		"ReusedFiveTuple":              TestReusedFiveTuple,
		"EvenPortLeaksNothing":         TestEvenPortLeaksNothing,
		"Logs":                         TestLogs,
		"Bandwidth":                    TestBandwidth,
		"TotalBandwidth":               TestTotalBandwidth,
		"Expiry":                       TestExpiry,
		"MaxSession":                   TestMaxSession,
		"Revoke":                       TestRevoke,
		"PolicyReload":                 TestPolicyReload,
		"RelayOnly":                    TestRelayOnly,
		"Drain":                        TestDrain,
		"ConnectionEnds":               TestConnectionEnds,
		"MintIsStandard":               TestMintIsStandard,
		"ChannelDataLies":              TestChannelDataLies,
		"Matrix":                       TestMatrix,
		"Uclient":                      TestUclient,
		"Leaks":                        TestLeaks,
		"PionMisbehaves":               TestPionMisbehaves,
		"NoGarbagePerPacket":           TestNoGarbagePerPacket,
		"RelayToRelay":                 TestRelayToRelay,
		"Ready":                        TestReady,
	}
}

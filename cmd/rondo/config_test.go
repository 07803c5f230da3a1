package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

func writeConfig(t *testing.T, yaml string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rondo.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagWinsOverEnvironmentWinsOverFile(t *testing.T) {
	file := writeConfig(t, "listen: ':1'\nlog-level: warn\norigins: [https://a.example, https://b.example]\ngrace: 7s\n")
	c, err := loadConfig([]string{"--config", file, "--listen", ":3"},
		[]string{"RONDO_LISTEN=:2", "RONDO_LOG_LEVEL=error", "HOME=/x"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":3" || c.LogLevel != "error" || c.Grace != 7*time.Second {
		t.Errorf("listen %q, log-level %q, grace %v", c.Listen, c.LogLevel, c.Grace)
	}
	if want := []string{"https://a.example", "https://b.example"}; !slices.Equal(c.Origins, want) {
		t.Errorf("origins %v", c.Origins)
	}
}

func TestPoolsInTheFile(t *testing.T) {
	file := writeConfig(t, `
pools:
  - name: video
    mode: video
    traits: [m, f]
    schedule:
      - {after: 0s, reach: tags}
      - {after: 3s, reach: anyone}
  - {name: quiet, mode: text, relay-only: true}
`)
	c, err := loadConfig([]string{"--config", file}, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	pools := matchPools(c.Pools)
	if len(pools) != 2 || pools[0].Schedule[1].After != 3*time.Second || pools[0].Schedule[1].Reach != protocol.ReachAnyone ||
		!slices.Equal(pools[0].Traits, []string{"m", "f"}) || !pools[1].RelayOnly || pools[1].Mode != protocol.ModeText {
		t.Errorf("pools %+v", pools)
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	file := func(s string) []string { return []string{"--config", writeConfig(t, s)} }
	for name, tc := range map[string]struct {
		args, env []string
		want      string
	}{
		"unknown flag":      {args: []string{"--nope"}, want: "nope"},
		"unknown env":       {env: []string{"RONDO_NOPE=1"}, want: "RONDO_NOPE"},
		"bad env":           {env: []string{"RONDO_GRACE=soon"}, want: "RONDO_GRACE"},
		"unknown in file":   {args: file("nope: 1"), want: "nope"},
		"bad in file":       {args: file("max-sessions: many"), want: "max-sessions"},
		"file not there":    {args: []string{"--config", "/does/not/exist"}, want: "config"},
		"not YAML":          {args: file("a: [1"), want: "rondo.yaml"},
		"pool mode":         {args: file("pools: [{name: a, mode: smell}]"), want: "smell"},
		"pool twice":        {args: []string{"--pools", "a:video,a:text"}, want: "twice"},
		"pool duration":     {args: file("pools: [{name: a, mode: text, schedule: [{after: x, reach: tags}]}]"), want: "pools"},
		"CIDR":              {args: []string{"--turn-allow", "10.0.0.0/99"}, want: "turn-allow"},
		"external IP":       {args: []string{"--turn-external-ip", "me"}, want: "turn-external-ip"},
		"relay ports":       {args: []string{"--turn-relay-ports", "9-8"}, want: "turn-relay-ports"},
		"two kinds of TLS":  {args: []string{"--tls-self-signed", "--acme-domain", "a.example"}, want: "tls-cert"},
		"half a key pair":   {args: []string{"--tls-cert", "a"}, want: "tls-key"},
		"log format":        {args: []string{"--log-format", "xml"}, want: "log-format"},
		"log level":         {args: []string{"--log-level", "loud"}, want: "log-level"},
		"ping":              {args: []string{"--ping", "1ms"}, want: "ping"},
		"grace":             {args: []string{"--grace", "-1s"}, want: "grace"},
		"S3 without keys":   {args: []string{"--files-s3", "https://s3.example.org/bucket"}, want: "files-s3-key-file"},
		"TURN without keys": {args: []string{"--turn-server", "turn:a.example"}, want: "turn-secret-files"},
		"unknown role":      {args: []string{"--roles", "turn,cook"}, want: "cook"},
		"nothing to do":     {args: []string{"--roles", "turn", "--turn=false"}, want: "turn"},
		"keys of others":    {args: []string{"--roles", "signaling,turn", "--turn-server", "turn:a.example"}, want: "turn-secret-files"},
		"translator":        {args: []string{"--translate", "parrot"}, want: "parrot"},
		"no translator URL": {args: []string{"--translate", "libre"}, want: "translate-url"},
		"no Google key":     {args: []string{"--translate", "google-v3"}, want: "translate-key-file"},
		"no characters":     {args: []string{"--translate", "libre", "--translate-url", "https://x", "--translate-per-day", "0"}, want: "translate-per-user"},
		"outbound CIDR":     {args: []string{"--outbound-allow", "home"}, want: "outbound-allow"},
		"links":             {args: []string{"--chat-guest-links", "-1"}, want: "chat-links"},
		"stray argument":    {args: []string{"--listen", ":1", "x"}, want: `"x"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadConfig(tc.args, tc.env, io.Discard)
			if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v does not name %q", err, tc.want)
			}
		})
	}
}

func TestRoles(t *testing.T) {
	for roles, want := range map[string][2]bool{"": {true, true}, "turn": {false, true}, "signaling": {true, false}, "signaling, turn": {true, true}} {
		cfg, err := loadConfig([]string{"--roles", roles}, nil, io.Discard)
		if err != nil || cfg.Roles.signaling() != want[0] || cfg.relays() != want[1] {
			t.Errorf("roles %q: %+v, %v", roles, cfg, err)
		}
	}
	if _, err := loadConfig([]string{"--roles", "signaling", "--turn-server", "turn:a.example"}, nil, io.Discard); err != nil {
		t.Errorf("a signaling node signs for turn nodes with its own secret: %v", err)
	}
	var out, errOut strings.Builder
	dir := t.TempDir()
	if code := run(t.Context(), []string{"--roles", "turn", "--data", dir}, nil, &out, &errOut); code != 1 || !strings.Contains(errOut.String(), "secret-file") {
		t.Errorf("a turn node without the secret: exit %d: %s", code, errOut.String())
	}
}

func TestUnknownCommandAndHelp(t *testing.T) {
	var out, errOut strings.Builder
	if code := run(t.Context(), []string{"dance"}, nil, &out, &errOut); code != 2 || !strings.Contains(errOut.String(), "dance") {
		t.Errorf("exit %d: %s", code, errOut.String())
	}
	if code := run(t.Context(), []string{"--help"}, nil, &out, &errOut); code != 0 || !strings.Contains(errOut.String(), "turn-external-ip") {
		t.Errorf("exit %d for help", code)
	}
	if code := run(t.Context(), []string{"version"}, nil, &out, &errOut); code != 0 || !strings.HasPrefix(out.String(), "rondo ") {
		t.Errorf("exit %d: %s", code, out.String())
	}
}

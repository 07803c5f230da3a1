package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/accounts"
	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/auth"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/protocol"
)

// told is what a command said.
type told struct {
	status   int
	out, err string
}

// tell runs rondo admin with a folder for data and input for it to read.
func tell(t *testing.T, data, input string, args ...string) told {
	t.Helper()
	path := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(path, []byte(input), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out, errs bytes.Buffer
	err = admin(t.Context(), append(args, "--data", data), nil, in, &out, &errs)
	return told{status(err, &errs), out.String(), errs.String()}
}

// works is tell that must end with status 0.
func works(t *testing.T, data, input string, args ...string) string {
	t.Helper()
	got := tell(t, data, input, args...)
	if got.status != 0 {
		t.Fatalf("%v: %+v", args, got)
	}
	return got.out
}

const goodPassword = "correct horse battery"

func madeAdmin(t *testing.T) (data string) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	works(t, data, goodPassword+"\n", "create", "--email", "root@example.org", "--username", "root", "--password-file", "-")
	return data
}

func TestAdminMakesAndChangesAccounts(t *testing.T) {
	data := madeAdmin(t)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("another horse battery\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	works(t, data, "", "create", "--email", "ann@example.org", "--username", "Ann", "--name", "Ann Bo", "--password-file", file)
	if got := works(t, data, "", "list"); strings.Count(got, "\n") != 3 || !strings.Contains(got, "USERNAME") || !strings.Contains(got, "never") {
		t.Errorf("list:\n%s", got)
	}
	for _, user := range []string{"ann", "Ann@Example.org"} {
		works(t, data, "", "disable", user)
		if got := listOf(t, data, "--search", "ann"); len(got) != 1 || !got[0].Disabled || got[0].Name != "Ann Bo" || got[0].LastLogin != nil {
			t.Errorf("%+v", got)
		}
		works(t, data, "", "enable", user)
	}
	ann := listOf(t, data, "--search", "ann")[0]
	if ann.Disabled {
		t.Error("enabled, and disabled all the same")
	}
	if got := works(t, data, "", "roles", string(ann.Identity), "--set", "moderator, user"); !strings.Contains(got, "moderator,user") {
		t.Error(got)
	}
	if got := listOf(t, data, "--role", "admin"); len(got) != 1 || got[0].Username != "root" {
		t.Errorf("%+v", got)
	}
}

func listOf(t *testing.T, data string, args ...string) (list []listed) {
	t.Helper()
	lines := strings.TrimSpace(works(t, data, "", append([]string{"list", "--json"}, args...)...))
	for line := range strings.SplitSeq(lines, "\n") {
		var l listed
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, l)
	}
	return list
}

// TestAdminSaysWhatIsWrong: the status and the words; and nothing is made that was not asked for.
func TestAdminSaysWhatIsWrong(t *testing.T) {
	data, none := madeAdmin(t), filepath.Join(t.TempDir(), "none")
	create := []string{"create", "--password-file", "-", "--email"}
	for name, tc := range map[string]struct {
		data, input string
		args        []string
		status      int
		words       string
	}{
		"no command":        {none, "", []string{"frobnicate"}, 2, "unknown command"},
		"no user":           {data, "", []string{"disable"}, 2, "one USER is needed"},
		"two users":         {data, "", []string{"disable", "a", "b"}, 2, "one USER is needed"},
		"too much":          {data, "", []string{"list", "root"}, 2, "unexpected argument"},
		"another's flag":    {data, "", []string{"list", "--to", "sqlite:x"}, 2, "-to"},
		"who":               {data, "", []string{"disable", "nobody"}, 1, "there is no account nobody"},
		"no address":        {data, "", []string{"disable", "@"}, 1, "email"},
		"the only one":      {data, "", []string{"disable", "root"}, 1, "only administrator"},
		"no role":           {data, "", []string{"roles", "root"}, 2, "--set"},
		"a strange role":    {data, "", []string{"roles", "root", "--set", "king"}, 1, "no such role"},
		"list a role":       {data, "", []string{"list", "--role", "king"}, 2, "king"},
		"no name":           {data, goodPassword, append(create, "b@example.org"), 2, "--username"},
		"no terminal":       {data, goodPassword, []string{"create", "--email", "b@example.org", "--username", "bob"}, 2, "--password-file"},
		"a short password":  {data, "short", append(create, "b@example.org", "--username", "bob"), 1, "password"},
		"a common password": {data, "password1234", append(create, "b@example.org", "--username", "bob"), 1, "password"},
		"as the address":    {data, "b@example.org", append(create, "b@example.org", "--username", "bob"), 1, "password"},
		"the address twice": {data, goodPassword, append(create, "ROOT@example.org", "--username", "bob"), 1, "somebody has it"},
		"the name twice":    {data, goodPassword, append(create, "b@example.org", "--username", "ROOT"), 1, "username"},
		"no database":       {none, "", []string{"list"}, 2, "no database yet"},
		"nothing to rotate": {none, "", []string{"rotate-keys"}, 2, "no database yet"},
		"nothing to save":   {none, "", []string{"backup", filepath.Join(data, "b")}, 2, "secret"},
		"no backup":         {none, "", []string{"restore", filepath.Join(none, "b")}, 1, "no such file"},
		"something else":    {none, "", []string{"restore", filepath.Join(data, "secret")}, 1, "no backup of Rondo"},
		"nowhere":           {data, "", []string{"move"}, 2, "--to"},
		"what is that":      {data, "", []string{"move", "--to", "oracle://x"}, 1, "must begin with"},
		"onto itself":       {data, "", []string{"move", "--to", "sqlite:" + filepath.Join(data, "rondo.db")}, 1, "not empty"},
		"no accounts":       {data, "", []string{"list", "--accounts=false"}, 2, "no accounts"},
		"a file each":       {data, "", []string{"list", "--redis", "redis://localhost"}, 2, "no accounts"},
	} {
		t.Run(name, func(t *testing.T) {
			got := tell(t, tc.data, tc.input, tc.args...)
			if got.status != tc.status || !strings.Contains(got.err, tc.words) || !strings.HasPrefix(got.err, "rondo: ") {
				t.Errorf("%+v", got)
			}
		})
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a folder was made")
	}
	if got := listOf(t, data); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestAdminHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"help"}, {"move", "--help"}} {
		if got := tell(t, "", "", args...); got.status != 0 || !strings.Contains(got.out, "rondo admin move") || got.err != "" {
			t.Errorf("%v: %+v", args, got)
		}
	}
	if err := admin(t.Context(), nil, nil, nil, os.Stdout, os.Stderr); err == nil || !strings.Contains(err.Error(), "rotate-keys") {
		t.Error(err)
	}
}

// TestAdminSettings: from the environment and the file, as the server has them.
func TestAdminSettings(t *testing.T) {
	data := madeAdmin(t)
	file := writeConfig(t, "data: "+data+"\nredis: 'redis://localhost'\n")
	var out, errs bytes.Buffer
	env := []string{"RONDO_CONFIG=" + file, "RONDO_DATABASE=sqlite:" + filepath.Join(data, "rondo.db")}
	if err := admin(t.Context(), []string{"list"}, env, nil, &out, &errs); err != nil || !strings.Contains(out.String(), "root@example.org") {
		t.Errorf("%v, %s", err, out.String())
	}
	if err := admin(t.Context(), []string{"list"}, []string{"RONDO_SEARCH=x"}, nil, &out, &errs); err == nil || !strings.Contains(err.Error(), "RONDO_SEARCH") {
		t.Errorf("a flag of the command from the environment: %v", err)
	}
}

// TestAdminListsAll: more accounts than a page holds, and names that would steer a terminal.
func TestAdminListsAll(t *testing.T) {
	data := madeAdmin(t)
	db, err := database.Open(t.Context(), database.Config{URL: "sqlite:" + filepath.Join(data, "rondo.db")})
	if err != nil {
		t.Fatal(err)
	}
	const more = 2*listPage + 7
	err = sqlstore.New(db).Write(t.Context(), "test", func(tx accounts.Tx) error {
		for i := range more {
			u := accounts.UserRow{EmailKey: fmt.Sprint(i), User: accounts.User{
				ID: fmt.Sprintf("%036d", i), Identity: protocol.UserID(fmt.Sprintf("u_%d", i)), Email: fmt.Sprintf("\x1b[2J\u202e%d@example.org", i),
				Username: fmt.Sprintf("user_%d", i), Roles: []auth.Role{auth.RoleUser}, Active: true, Created: time.Now().Add(time.Duration(i/3) * time.Second),
			}}
			if err := tx.InsertUser(u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || db.Close() != nil {
		t.Fatal(err)
	}
	got := works(t, data, "", "list")
	if lines := strings.Count(got, "\n"); lines != more+2 || strings.ContainsAny(got, "\x1b\u202e") || !strings.Contains(got, "?[2J?406@example.org") {
		t.Errorf("%d lines", lines)
	}
	if list := listOf(t, data); len(list) != more+1 {
		t.Errorf("%d in JSON", len(list))
	}
	if list := listOf(t, data, "--search", "user_40"); len(list) != 8 { // 40, 400 … 406
		t.Errorf("%+v", list)
	}
}

// TestAdminRotatesKeys: with the service's secret only.
func TestAdminRotatesKeys(t *testing.T) {
	data := madeAdmin(t)
	for range 2 {
		if got := works(t, data, "", "rotate-keys"); !strings.Contains(got, "made key ") {
			t.Error(got)
		}
	}
	if err := os.Remove(filepath.Join(data, "secret")); err != nil {
		t.Fatal(err)
	}
	if got := tell(t, data, "", "rotate-keys"); got.status != 2 || !strings.Contains(got.err, "secret-file") {
		t.Errorf("%+v", got)
	}
	if _, _, err := auth.LoadOrCreateSecret(filepath.Join(data, "secret")); err != nil {
		t.Fatal(err)
	}
	if got := tell(t, data, "", "rotate-keys"); got.status != 1 || !strings.Contains(got.err, "another secret") {
		t.Errorf("%+v", got)
	}
}

// TestAdminCopies: a backup, restored elsewhere, and moved on.
func TestAdminCopies(t *testing.T) {
	data, other := madeAdmin(t), filepath.Join(t.TempDir(), "other")
	file := filepath.Join(t.TempDir(), "backup")
	if got := works(t, data, "", "backup", file); !strings.Contains(got, "users") || !strings.Contains(got, filepath.Join(data, "secret")) {
		t.Error(got)
	}
	if got := tell(t, data, "", "backup", file); got.status != 1 || !strings.Contains(got.err, "exists") {
		t.Errorf("%+v", got)
	}
	if got := tell(t, other, "", "restore", file); got.status != 2 || !strings.Contains(got.err, "--other-secret") {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(other); err == nil {
		t.Error("a refused restore made a folder")
	}
	works(t, other, "", "restore", file, "--other-secret")
	if got := tell(t, other, "", "restore", "--other-secret", file); got.status != 1 || !strings.Contains(got.err, "not empty") {
		t.Errorf("%+v", got)
	}
	if err := os.WriteFile(filepath.Join(other, "secret"), []byte(strings.Repeat("ab", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tell(t, other, "", "restore", file); got.status != 2 || !strings.Contains(got.err, "another secret") {
		t.Errorf("%+v", got)
	}
	if got := listOf(t, other); len(got) != 1 || got[0].Username != "root" {
		t.Errorf("%+v", got)
	}
	to := "sqlite:" + filepath.Join(t.TempDir(), "to.db")
	if got := works(t, other, "", "move", "--to", to); !strings.Contains(got, "sessions") || strings.Contains(got, "  no\n") {
		t.Error(got)
	}
	if got := listOf(t, other, "--database", to); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

// TestAdminReport: what differs is told.
func TestAdminReport(t *testing.T) {
	var out bytes.Buffer
	o := &office{out: &out}
	o.report([]sqlstore.Check{
		{Table: "users", Source: sqlstore.Count{Rows: 2, Sum: strings.Repeat("a", 64)}, Copy: sqlstore.Count{Rows: 1, Sum: strings.Repeat("b", 64)}},
		{Table: "totp", Source: sqlstore.Count{Rows: 2, Sum: "c"}, Copy: sqlstore.Count{Rows: 2, Sum: "c"}},
	})
	for _, want := range []string{"2, copy 1", "aaaaaaaaaaaaaaaa, copy bbbbbbbbbbbbbbbb", "  no\n", "  yes\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// TestAdminInterrupted: a signal ends a copy with clear words.
func TestAdminInterrupted(t *testing.T) {
	data := madeAdmin(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := admin(ctx, []string{"backup", filepath.Join(data, "b"), "--data", data}, nil, nil, &bytes.Buffer{}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Error(err)
	}
	if files, _ := filepath.Glob(filepath.Join(data, "*b*")); len(files) > 3 { // rondo.db and its companions
		t.Errorf("left there: %v", files)
	}
}

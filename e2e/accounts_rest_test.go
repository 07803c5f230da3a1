package e2e_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rondo-chat/rondo/accounts/storetest"
	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/internal/database"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// TestSecretsAtRestWithRedis: a person does all that there is to do with passwords,
// codes and tokens. Nothing of that is in any table, in Redis, in what was ever sent to
// Redis, in the log at its most talkative, or in the metrics: not as it is, nor in hex
// or base64.
func TestSecretsAtRestWithRedis(t *testing.T) {
	url, shared := testenv.Postgres(t), testenv.Redis(t)
	s := newService(t, url)
	s.opts.Redis = shared.URL
	watch := monitor(t, shared.Addr)
	n := s.node(t)
	secrets := map[string]string{"mail server's password": s.sink.Password}
	ann := browser(t, n, 1, "ann")
	secrets["password"] = ann.password
	ann.join(s)
	secrets["code"] = letters(s, ann.email, "Your code")[0].Code(t)
	secrets["wrong password"] = "a mistyped password"
	ann.wants(http.StatusUnauthorized, "POST", "/auth/login", fields{"login": ann.email, "password": secrets["wrong password"]})
	secret, _ := ann.wants(http.StatusOK, "POST", "/me/totp", fields{"password": ann.password}).body["secret"].(string)
	secrets["second factor"] = secret
	codes, _ := ann.wants(http.StatusOK, "POST", "/me/totp/confirm", fields{"code": totp(t, secret)}).body["recovery_codes"].([]any)
	for i, c := range codes {
		secrets[fmt.Sprint("recovery code ", i)], _ = c.(string)
	}
	bot := browser(t, n, 2, "ann")
	login := bot.login()
	login["bearer"], login["code"] = true, codes[0]
	tokens := bot.wants(http.StatusOK, "POST", "/auth/login", login)
	take := func(when string, a said) {
		for _, kind := range []string{"access_token", "refresh_token", "device_token", "ticket"} {
			if v, ok := a.body[kind].(string); ok {
				secrets[kind+" "+when] = v
			}
		}
	}
	take("at login", tokens)
	tokens = bot.wants(http.StatusOK, "POST", "/auth/refresh", fields{"refresh_token": tokens.body["refresh_token"]})
	take("refreshed", tokens)
	take("of the page", ann.wants(http.StatusOK, "POST", "/auth/refresh", fields{}))
	c := n.Dial(t, 3, client.Options{Bearer: func(context.Context) (string, error) { return secrets["access_token refreshed"], nil }})
	guest := n.Dial(t, 4, client.Options{Name: "Guest"})
	meet(t, c, guest)
	secrets["guest's token"], secrets["resume token"] = guest.Welcome().Guest, c.Welcome().Resume.Token
	for _, server := range c.Welcome().ICE.Servers {
		if server.Credential != "" {
			secrets["TURN password"] = server.Credential
		}
	}
	ann.wants(http.StatusAccepted, "POST", "/auth/forgot", fields{"email": ann.email})
	secrets["code for a new password"] = awaitMail(t, s, ann.email, "new password", 1).Code(t)
	secrets["new password"] = "a new horse battery"
	ann.wants(http.StatusNoContent, "POST", "/auth/reset", fields{"email": ann.email, "code": secrets["code for a new password"], "password": secrets["new password"]})

	places := map[string]string{"log": n.Output(), "metrics": n.MetricsText(t), "stream of commands to Redis": watch(), "dump of Redis": redisDump(t, shared.URL)}
	db, err := database.Open(t.Context(), database.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for table, rows := range storetest.Dump(t, db) {
		places["table "+table] = strings.Join(rows, "\n")
	}
	if !strings.Contains(places["table users"], ann.email) || !strings.Contains(places["dump of Redis"], "rondo") || len(places["stream of commands to Redis"]) < 1000 {
		t.Error("this test looks at the wrong places")
	}
	for what, value := range secrets {
		if len(value) < 8 {
			t.Errorf("%s: %q is no secret", what, value)
			continue
		}
		for where, text := range places {
			for how, shape := range shapes(value) {
				if strings.Contains(text, shape) {
					t.Errorf("the %s shows the %s %s", where, what, how)
				}
			}
		}
	}
	n.Stop(t, wait)
}

// shapes are forms in which a secret would be as good as readable.
func shapes(secret string) map[string]string {
	raw := []byte(secret)
	all := map[string]string{
		"as it is": secret, "in hex": hex.EncodeToString(raw), "in base64": base64.RawStdEncoding.EncodeToString(raw)[:len(raw)*4/3-1], "in base64 for URLs": base64.RawURLEncoding.EncodeToString(raw)[:len(raw)*4/3-1],
	}
	if plain := strings.ReplaceAll(secret, "-", ""); len(plain) > 8 {
		all["without hyphens"] = plain
	}
	if b, err := base64.RawURLEncoding.DecodeString(secret); err == nil && len(b) >= 16 {
		all["decoded"], all["decoded, in hex"] = string(b), hex.EncodeToString(b)
	}
	if b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret); err == nil && len(b) >= 16 {
		all["decoded"], all["decoded, in hex"] = string(b), hex.EncodeToString(b)
	}
	return all
}

// monitor records every command that Redis gets from now on; the function that it
// returns returns them.
func monitor(t *testing.T, addr string) func() string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all bytes.Buffer
	var done sync.WaitGroup
	done.Go(func() {
		b := make([]byte, 64<<10)
		for {
			k, err := conn.Read(b)
			mu.Lock()
			all.Write(b[:k])
			mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		conn.Close()
		done.Wait()
	})
	text := func() string {
		mu.Lock()
		defer mu.Unlock()
		return all.String()
	}
	testenv.Eventually(t, wait, func() bool { return strings.HasPrefix(text(), "+OK") }, "Redis tells its commands")
	return text
}

// redisDump is everything that Redis holds, as it would write it to a disk.
func redisDump(t *testing.T, url string) string {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(o)
	defer rdb.Close()
	ctx := t.Context()
	if err := rdb.ConfigSet(ctx, "rdbcompression", "no").Err(); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for keys := rdb.Scan(ctx, 0, "*", 1000).Iterator(); keys.Next(ctx); {
		text, err := rdb.Dump(ctx, keys.Val()).Result()
		if err != nil && err != redis.Nil { // gone meanwhile
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s = %s\n", keys.Val(), text)
	}
	return all.String()
}

// totp is the code of an authenticator (RFC 6238).
func totp(t *testing.T, secret string) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()/30)))
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
}

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/auth"
)

// drainPurpose keeps orders to drain apart from everything else that is signed.
const drainPurpose = "drain"

// drainValid is how long an order counts after it was signed.
const drainValid = time.Minute

// drain tells a server of this machine to send its clients elsewhere and stop,
// as SIGTERM would. Who can read the secret may do that.
func drain(ctx context.Context, args, env []string, stdout io.Writer) error {
	cfg, err := loadConfig(args, env, stdout)
	if err != nil {
		return err
	}
	url, err := localMetrics(cfg, "/drain")
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.secretPath()); err != nil { // must be there; it is not made here
		return fmt.Errorf("%w: secret-file: %w", errUsage, err)
	}
	secret, _, err := auth.LoadOrCreateSecret(cfg.secretPath())
	if err != nil {
		return fmt.Errorf("secret-file: %w", err)
	}
	signer, err := auth.NewSigner(secret)
	if err != nil {
		return fmt.Errorf("secret-file: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+signer.Sign(drainPurpose, []byte(strconv.FormatInt(time.Now().Unix(), 10))))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("drain: the server answers %s", resp.Status)
	}
	fmt.Fprintln(stdout, "draining")
	return nil
}

// drainHandler takes the order: it answers 202 and calls stop, once the order
// proves to come from somebody who has the secret.
func drainHandler(signer *auth.Signer, now func() time.Time, stop func()) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		payload, err := signer.Verify(drainPurpose, token)
		signed, numErr := strconv.ParseInt(string(payload), 10, 64)
		age := now().Sub(time.Unix(signed, 0))
		if !ok || err != nil || numErr != nil || age > drainValid || age < -drainValid {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "not signed with this server's secret, or too old", http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		stop()
	}
}

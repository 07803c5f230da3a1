package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/rondo-chat/rondo/accounts/sqlstore"
	"github.com/rondo-chat/rondo/internal/database"
)

// backup writes accounts and conversations to a file.
func (o *office) backup(ctx context.Context) error {
	signer, err := o.signer(false)
	if err != nil {
		return err
	}
	store, err := o.open(ctx, false, copyTimeout)
	if err != nil {
		return err
	}
	header := sqlstore.Header{Made: time.Now().UTC().Truncate(time.Second), Program: version(), Secret: signer.Fingerprint()}
	checks, err := store.Backup(ctx, o.operand, header, o.progress())
	if err != nil {
		return err
	}
	o.report(checks)
	fmt.Fprintf(o.out, "\nwrote %s; keep the secret %s with it, in another place: without it second factors and recovery codes are lost\n",
		o.operand, o.cfg.secretPath())
	return nil
}

// restore reads them into an empty database.
func (o *office) restore(ctx context.Context) error {
	backup, err := sqlstore.OpenBackup(o.operand)
	if err != nil {
		return err
	}
	defer backup.Close()
	if !o.otherSecret {
		if err := o.sameSecret(backup.Header); err != nil {
			return err
		}
	}
	store, err := o.open(ctx, true, copyTimeout)
	if err != nil {
		return err
	}
	checks, err := store.Restore(ctx, backup, o.progress())
	o.report(checks)
	if err != nil {
		return withAdvice(err)
	}
	fmt.Fprintf(o.out, "\nrestored the backup of %s; everybody has to log in again\n", backup.Header.Made.Format(time.RFC3339))
	return nil
}

// sameSecret returns an error unless the service has the secret of the backup.
func (o *office) sameSecret(h sqlstore.Header) error {
	const advice = "the service needs the secret that the backup was made with; with --other-secret second factors and recovery codes will not work"
	signer, err := o.signer(false)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: %s", err, advice)
	case err != nil:
		return err
	case signer.Fingerprint() != h.Secret:
		return fmt.Errorf("%w: secret-file: %s holds another secret: %s", errUsage, o.cfg.secretPath(), advice)
	}
	return nil
}

// move copies everything to another database.
func (o *office) move(ctx context.Context) error {
	if o.to == "" {
		return fmt.Errorf("%w: --to is missing: the URL of the other database", errUsage)
	}
	from, err := o.open(ctx, false, copyTimeout)
	if err != nil {
		return err
	}
	to, err := o.openURL(ctx, "to-password-file", o.toPasswordFile, o.to, copyTimeout)
	if err != nil {
		return fmt.Errorf("to: %w", err)
	}
	checks, err := from.Move(ctx, to, o.progress())
	o.report(checks)
	if err != nil {
		return withAdvice(err)
	}
	fmt.Fprintln(o.out, "\nall is there; now start the servers with the setting database for it: what the old one gets from now on is not moved")
	return nil
}

func withAdvice(err error) error {
	switch {
	case errors.Is(err, sqlstore.ErrOccupied):
		return fmt.Errorf("%w; use a new one, which no server has used yet", err)
	case errors.Is(err, database.ErrUncertain):
		return fmt.Errorf("%w; whether the copy is there is not known: ask with rondo admin list --database", err)
	}
	return err
}

// Progress is told of what takes longer than this, this often.
const progressEvery = 2 * time.Second

func (o *office) progress() sqlstore.Progress {
	last := time.Now()
	return func(table string, rows int64) {
		if now := time.Now(); now.Sub(last) >= progressEvery {
			last = now
			fmt.Fprintf(o.errs, "%s: %d rows\n", table, rows)
		}
	}
}

// report prints what was compared.
func (o *office) report(checks []sqlstore.Check) {
	if len(checks) == 0 {
		return
	}
	table := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TABLE\tROWS\tCHECKSUM\tSAME")
	for _, c := range checks {
		rows, sum := fmt.Sprint(c.Source.Rows), short(c.Source.Sum)
		if !c.Same() {
			rows, sum = fmt.Sprintf("%d, copy %d", c.Source.Rows, c.Copy.Rows), sum+", copy "+short(c.Copy.Sum)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", c.Table, rows, sum, yes(c.Same()))
	}
	_ = table.Flush() // standard output: nobody to tell
}

// short is enough of a checksum to compare by eye.
func short(sum string) string { return sum[:min(16, len(sum))] }

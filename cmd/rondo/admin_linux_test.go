package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rondo-chat/rondo/internal/testenv"
)

// terminal opens a terminal: what a person holds, and what the program reads.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

// echoes reports whether the terminal shows what is typed.
func echoes(t *testing.T, f *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// shared is a buffer that one writes while another reads.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestAdminAsksForThePassword: twice, without showing it; and the terminal is as it was afterwards.
func TestAdminAsksForThePassword(t *testing.T) {
	for name, tc := range map[string]struct {
		typed [2]string
		words string // of the error
	}{
		"twice the same": {[2]string{goodPassword, goodPassword}, ""},
		"a slip":         {[2]string{goodPassword, goodPassword + "x"}, "not the same password"},
	} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			person, program := terminal(t)
			var shown, errs shared
			go func() { _, _ = io.Copy(&shown, person) }() // until it is closed
			done := make(chan error, 1)
			go func() {
				args := []string{"create", "--email", "a@example.org", "--username", "ann", "--data", data}
				done <- admin(context.WithoutCancel(t.Context()), args, nil, program, io.Discard, &errs)
			}()
			for i, prompt := range []string{"Password: ", "Once more: "} {
				testenv.Eventually(t, 20*time.Second, func() bool { return strings.HasSuffix(errs.String(), prompt) && !echoes(t, program) }, "it asks for %q", prompt)
				if _, err := person.WriteString(tc.typed[i] + "\n"); err != nil {
					t.Fatal(err)
				}
			}
			err := <-done
			if (err != nil) != (tc.words != "") || err != nil && !strings.Contains(err.Error(), tc.words) {
				t.Errorf("%v", err)
			}
			if strings.Contains(shown.String()+errs.String(), "horse") {
				t.Errorf("the password is shown: %q", shown.String())
			}
			if !echoes(t, program) {
				t.Error("the terminal stays silent")
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		_, program := terminal(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			args := []string{"create", "--email", "a@example.org", "--username", "ann", "--data", filepath.Join(t.TempDir(), "data")}
			done <- admin(ctx, args, nil, program, io.Discard, io.Discard)
		}()
		testenv.Eventually(t, 20*time.Second, func() bool { return !echoes(t, program) }, "it asks")
		cancel()
		if err := <-done; err == nil || !echoes(t, program) {
			t.Errorf("%v, or the terminal stays silent", err)
		}
	})
}

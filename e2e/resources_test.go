package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// TestNoFileDescriptors: a node that can open no file serves those whom it has,
// says so in the log now and then, and takes people in again when it can.
func TestNoFileDescriptors(t *testing.T) {
	n := lab.Start(t, lab.Options{})
	ann, bo := n.Dial(t, 1, client.Options{Name: "Ann"}), n.Dial(t, 2, client.Options{Name: "Bo"})
	fa, _ := meet(t, ann, bo)
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.PID()))
	if err != nil {
		testenv.Missing(t, "no /proc: %v", err)
	}
	var old unix.Rlimit
	if err := unix.Prlimit(n.PID(), unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	limit := func(cur uint64) {
		t.Helper()
		if err := unix.Prlimit(n.PID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: cur, Max: old.Max}, nil); err != nil {
			t.Fatal(err)
		}
	}
	const said = `"msg":"no connections can be taken"`
	limit(uint64(len(open)))
	for i := 10; !strings.Contains(n.Output(), said); i++ {
		if i == 40 {
			t.Fatal("thirty connections more than it can open, and the log says nothing")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if c, err := n.DialErr(ctx, i, client.Options{NoReconnect: true}); err == nil {
			t.Cleanup(func() { c.Close() }) // there was a gap among its numbers
		}
		cancel()
	}
	say(t, ann, bo, fa.Room, "still here")
	signal(t, ann, bo, fa.Room, protocol.SignalOffer, `{"sdp":"still here"}`)
	since := time.Now()
	testenv.Eventually(t, 5*time.Second, func() bool { return time.Since(since) > 2*time.Second }, "two seconds")
	if times := strings.Count(n.Output(), said); times > 1 {
		t.Errorf("said %d times within seconds", times)
	}
	limit(old.Cur)
	cy, di := n.Dial(t, 50, client.Options{Name: "Cy"}), n.Dial(t, 51, client.Options{Name: "Di"})
	meet(t, cy, di)
}

// TestFullDisk: a node that cannot keep its secret says why, and leaves no half
// of it.
func TestFullDisk(t *testing.T) {
	unshare := testenv.Need(t, "unshare")
	dir := t.TempDir()
	const full = `mount -t tmpfs -o size=4k tmpfs "$1" && head -c 4096 /dev/zero > "$1/fill"`
	if out, err := exec.Command(unshare, "-rm", "sh", "-c", full, "sh", dir).CombinedOutput(); err != nil {
		testenv.Missing(t, "no file system of its own: %v %s", err, out)
	}
	cmd := exec.Command(unshare, "-rm", "sh", "-c", full+` || exit 9; "$2" --data "$1" --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --turn=false; s=$?; echo left: $(ls -A "$1"); exit $s`,
		"sh", dir, lab.Binary(t))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	p := testenv.Start(t, cmd)
	testenv.Eventually(t, wait, p.Exited, "the server gives up")
	out := p.Output()
	if p.Wait(0) == nil || !strings.Contains(out, "secret-file") || !strings.Contains(out, "no space left") {
		t.Errorf("the reason is not named:\n%s", out)
	}
	if !strings.Contains(out, "left: fill\n") {
		t.Errorf("something is left:\n%s", out)
	}
}

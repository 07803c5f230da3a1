package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rondo-chat/rondo/client/bench"
)

// process is a program that was started to be measured.
type process struct {
	cmd  *exec.Cmd
	addr string
	out  *tail
	done chan struct{} // closed when it has ended
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// cpu is what the process has used.
func (p *process) cpu() (time.Duration, error) { return bench.CPU(p.pid()) }

// tail keeps the end of what a process says.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(b []byte) (int, error) {
	const most = 16 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	t.b = t.b[max(0, len(t.b)-most):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}

// start runs a program until the group ends. What it says is kept, unless stdout goes elsewhere.
func (g *group) start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, out: &tail{}, done: make(chan struct{})}
	cmd.Stderr = p.out
	if cmd.Stdout == nil {
		cmd.Stdout = p.out
	}
	cmd.WaitDelay = 2 * time.Second
	cmd.Env = g.cfg.Env
	begun := make(chan error, 1)
	go launch(cmd, begun, p.done)
	if err := <-begun; err != nil {
		return nil, fmt.Errorf("%s: %w", cmd.Path, err)
	}
	g.ends = append(g.ends, func() {
		_ = cmd.Process.Kill() // it may have ended
		<-p.done
	})
	return p, nil
}

// await waits until ready says so.
func (p *process) await(ctx context.Context, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("%s ended: %s", p.cmd.Path, p.out)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %s", p.cmd.Path, ctx.Err(), p.out)
		}
	}
	return nil
}

// reference starts a server of package reference in a process of its own.
func (g *group) reference(kind string, tls bool) (*process, error) {
	cmd := exec.Command(g.cfg.Self, "reference", "--kind", kind, "--tls="+strconv.FormatBool(tls))
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd.Stdout = w
	p, err := g.start(cmd)
	w.Close()
	if err != nil {
		return nil, err
	}
	line := make([]byte, 256)
	n, err := r.Read(line)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	p.addr = strings.TrimSpace(string(line[:n]))
	if _, _, err := net.SplitHostPort(p.addr); err != nil {
		return nil, fmt.Errorf("reference %s: %w: %s", kind, err, p.out)
	}
	return p, nil
}

// server is a Rondo process.
type server struct {
	*process
	ready struct {
		HTTP    string `json:"http"`
		HTTPS   bool   `json:"https"`
		Metrics string `json:"metrics"`
	}
	data string // its folder
}

// rondo starts a Rondo server of its own data, with further flags.
func (g *group) rondo(ctx context.Context, args ...string) (*server, error) {
	dir, err := g.folder()
	if err != nil {
		return nil, err
	}
	s := &server{data: dir}
	file := filepath.Join(dir, "ready.json")
	all := append([]string{
		"--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--ready-file", file,
		"--turn-listen", "127.0.0.1:0", "--turn-external-ip", "127.0.0.1", "--turn-allow", "127.0.0.0/8", "--log-level", "warn",
		"--ping", "5m", // what waits for its turn is not measured
	}, args...)
	if s.process, err = g.start(exec.Command(g.cfg.Rondo, all...)); err != nil {
		return nil, err
	}
	return s, s.await(ctx, func() bool {
		b, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(b, &s.ready) == nil && s.ready.HTTP != ""
	})
}

// ws is the URL of its WebSocket.
func (s *server) ws() string {
	if s.ready.HTTPS {
		return "wss://" + s.ready.HTTP + "/ws"
	}
	return "ws://" + s.ready.HTTP + "/ws"
}

// mallocs is how many objects it has allocated.
func (s *server) mallocs(ctx context.Context) (float64, error) {
	return bench.Metric(ctx, "http://"+s.ready.Metrics+"/metrics", "go_memstats_mallocs_total")
}

// redis starts a Redis that keeps nothing.
func (g *group) redis(ctx context.Context) (*process, error) {
	dir, err := g.folder()
	if err != nil {
		return nil, err
	}
	at, err := freePort()
	if err != nil {
		return nil, err
	}
	port := strconv.Itoa(int(at.Port()))
	p, err := g.start(exec.Command(g.cfg.Redis, "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no", "--daemonize", "no"))
	if err != nil {
		return nil, err
	}
	p.addr = at.String()
	return p, p.await(ctx, func() bool {
		c, err := dialRedis(ctx, p.addr)
		if err != nil {
			return false
		}
		defer c.Close()
		return c.do(command("PING")) == nil
	})
}

// folder makes one that goes with the group.
func (g *group) folder() (string, error) {
	dir, err := os.MkdirTemp("", "rondo-bench-")
	if err == nil {
		g.ends = append(g.ends, func() { os.RemoveAll(dir) })
	}
	return dir, err
}

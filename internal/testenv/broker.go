package testenv

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Broker is a message broker of one test. What it acknowledged is still there after Stop
// and Start.
type Broker struct {
	Addr string // host:port

	t     testing.TB
	name  string
	port  int
	serve func(port int) (*exec.Cmd, error) // runs it in the foreground
	proc  *Process
}

// Mosquitto starts a mosquitto on a free port of 127.0.0.1 that takes everybody and
// keeps what waits for clients that are away, and stops it when the test ends.
func Mosquitto(t testing.TB) *Broker {
	t.Helper()
	path, dir := Need(t, "mosquitto"), t.TempDir()
	user := "nobody"
	if os.Getuid() == 0 {
		user = "root" // else it could not write to dir
	}
	return beginBroker(&Broker{t: t, name: "mosquitto", serve: func(port int) (*exec.Cmd, error) {
		conf := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location %s/\n"+
			"max_queued_messages 0\nset_tcp_nodelay true\nuser %s\nlog_dest stdout\n", port, dir, user)
		file := filepath.Join(dir, "mosquitto.conf")
		return exec.Command(path, "-c", file), os.WriteFile(file, []byte(conf), 0o600)
	}})
}

// RabbitMQ starts a rabbitmq-server on a free port of 127.0.0.1, as a node of its own
// without plugins and without epmd, and stops it when the test ends. User and password are guest.
// It takes some seconds.
func RabbitMQ(t testing.TB) *Broker {
	t.Helper()
	// The program in PATH would change user and folder.
	path, dir := Need(t, "rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server"), t.TempDir()
	logs := filepath.Join(dir, "log")
	return beginBroker(&Broker{t: t, name: "rabbitmq", serve: func(port int) (*exec.Cmd, error) {
		plugins := filepath.Join(dir, "plugins")
		cmd := exec.Command(path)
		cmd.Env = append(os.Environ(), "HOME="+dir, "RABBITMQ_MNESIA_BASE="+filepath.Join(dir, "mnesia"), "RABBITMQ_LOG_BASE="+logs,
			"RABBITMQ_LOGS=-", "RABBITMQ_NODENAME=rondo@localhost", "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
			"RABBITMQ_NODE_PORT="+strconv.Itoa(port), "RABBITMQ_DIST_PORT="+strconv.Itoa(port+rabbitDist),
			"RABBITMQ_CONF_ENV_FILE=/dev/null", "RABBITMQ_CONFIG_FILE="+filepath.Join(dir, "none"), "RABBITMQ_ENABLED_PLUGINS_FILE="+plugins,
			"RABBITMQ_PID_FILE="+filepath.Join(dir, "pid"),
			"RABBITMQ_ALLOW_INPUT=1", // one process, no shell around it
			fmt.Sprintf("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-noinput -start_epmd false -erl_epmd_port %d -kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
				port+rabbitDist))
		return cmd, os.WriteFile(plugins, []byte("[].\n"), 0o600)
	}})
}

// rabbitDist is the distance of RabbitMQ's port for its own kind from that for clients.
const rabbitDist = 11_000

func beginBroker(b *Broker) *Broker {
	t := b.t
	t.Helper()
	t.Cleanup(b.Kill)
	also := 0
	if b.name == "rabbitmq" {
		also = rabbitDist
	}
	var err error
	for range 5 { // another process may take the port between our look and the bind
		if b.port, err = freePort(also); err != nil {
			continue
		}
		if err = b.start(); err == nil {
			b.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port))
			return b
		}
	}
	t.Fatalf("%s: %v", b.name, err)
	return nil
}

// start runs the broker and returns when it takes connections, and it is ours that does.
func (b *Broker) start() error {
	cmd, err := b.serve(b.port)
	if err != nil {
		return err
	}
	proc, err := startProcess(cmd)
	if err != nil {
		return err
	}
	b.proc = proc
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port))
	ready := func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	if poll(2*time.Minute, func() bool { return proc.Exited() || ready() }) && !proc.Exited() {
		return nil
	}
	proc.Kill()
	return fmt.Errorf("port %d: not ready: %s", b.port, proc.Output())
}

// Stop ends the broker in order (SIGTERM) and waits for its end.
func (b *Broker) Stop() {
	b.t.Helper()
	if err := b.proc.Signal(syscall.SIGTERM); err != nil {
		b.t.Fatalf("%s: %v", b.name, err)
	}
	if !poll(30*time.Second, b.proc.Exited) {
		b.t.Fatalf("%s does not stop: %s", b.name, b.proc.Output())
	}
}

// Kill ends the broker with SIGKILL, as a crash would. It may be called again.
func (b *Broker) Kill() {
	if b.proc != nil {
		b.proc.Kill()
	}
}

// Start starts the broker again at the same address, after Stop or Kill.
func (b *Broker) Start() {
	b.t.Helper()
	b.Kill()
	var err error
	for range 5 {
		if err = b.start(); err == nil {
			return
		}
	}
	b.t.Fatalf("%s did not come back: %v", b.name, err)
}

// Output is what it wrote last.
func (b *Broker) Output() string { return b.proc.Output() }

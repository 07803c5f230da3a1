package browser_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rondo-chat/rondo/client"
	"github.com/rondo-chat/rondo/client/rtc"
	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
	"github.com/rondo-chat/rondo/protocol"
)

// programVariable makes this test binary a partner written with the Go SDK, in a
// process and a network namespace of its own. It holds a programConfig.
const programVariable = "RONDO_TEST_PROGRAM"

type programConfig struct {
	WS, CertFile string
}

// programReport is what the program says of itself, a line of JSON five times a
// second.
type programReport struct {
	Searching bool
	Offers    bool
	Room      protocol.RoomID
	State     string
	Frames    uint64
	Remote    string // type of the other side's selected candidate
	Matches   int
	Left      string // why the other one left
	Texts     []string
}

// runProgram is the program; it ends when it is killed.
func runProgram(config string) error {
	var cfg programConfig
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return err
	}
	pem, err := os.ReadFile(cfg.CertFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	ctx := context.Background()
	c, err := client.Dial(ctx, cfg.WS, client.Options{Name: "Program", TLS: &tls.Config{RootCAs: pool}})
	if err != nil {
		return err
	}
	defer c.Close()
	engine, err := rtc.NewEngine(rtc.EngineConfig{})
	if err != nil {
		return err
	}
	if _, err := c.Find(ctx, protocol.Find{}); err != nil {
		return err
	}
	r := programReport{Searching: true}
	var peer *rtc.Peer
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case ev, ok := <-c.Events():
			if !ok {
				return errors.Join(errors.New("the client ended"), c.Err())
			}
			if peer, err = r.take(ev, c, engine, peer); err != nil {
				return err
			}
		case <-tick.C:
			r.print(peer)
		}
	}
}

// take handles an event; peer is the call so far, or nil.
func (r *programReport) take(ev client.Event, c *client.Client, engine *rtc.Engine, peer *rtc.Peer) (*rtc.Peer, error) {
	switch ev := ev.(type) {
	case client.Found:
		r.Matches++
		r.Offers, r.Room = ev.Offerer, ev.Room
		return engine.Match(c, ev, rtc.Config{Video: true})
	case client.Signal:
		if peer != nil {
			peer.Handle(ev)
		}
	case client.Chat:
		r.Texts = append(r.Texts, ev.Text)
	case client.PeerLeft:
		r.Left = string(ev.Reason)
	}
	return peer, nil
}

func (r *programReport) print(peer *rtc.Peer) {
	if peer != nil {
		r.State, r.Frames = peer.State().String(), peer.Counts().Frames
		if pair, ok := peer.Pair(); ok {
			r.Remote = pair.Remote
		}
	}
	line, _ := json.Marshal(r) // strings and numbers
	fmt.Printf("%s\n", line)
}

// program is the running partner.
type program struct {
	*testenv.Process
	t *testing.T
}

// startProgram starts the program in a namespace and waits until it searches.
func startProgram(t *testing.T, netns string, n *lab.Node, cert *lab.Certificate) *program {
	t.Helper()
	config, _ := json.Marshal(programConfig{WS: n.WS(), CertFile: cert.CertFile}) // strings
	cmd := exec.Command(lab.NetnsWrapper(t, netns, os.Args[0]))
	cmd.Env = append(os.Environ(), programVariable+"="+string(config))
	p := &program{testenv.Start(t, cmd), t}
	t.Cleanup(func() {
		if t.Failed() {
			out := p.Output()
			t.Logf("end of the program's output:\n%s", out[max(0, len(out)-2000):])
		}
	})
	p.until(step, func(r programReport) bool { return r.Searching }, "searches")
	return p
}

// report returns what the program said last.
func (p *program) report() (r programReport) {
	lines := strings.Split(p.Output(), "\n")
	if len(lines) > 1 {
		_ = json.Unmarshal([]byte(lines[len(lines)-2]), &r) // nothing said yet: nothing known
	}
	return r
}

func (p *program) until(d time.Duration, fits func(programReport) bool, what string) {
	p.t.Helper()
	testenv.Eventually(p.t, d, func() bool { return fits(p.report()) }, "the program %s: %v", what,
		lazy(func() string { return fmt.Sprintf("%+v", p.report()) }))
}

// TestNetworkChangeWithProgram is TestNetworkChange with a partner written with the
// Go SDK.
func TestNetworkChangeWithProgram(t *testing.T) {
	s := newRoamStage(t, false)
	for _, c := range []change{
		{"person offers", true, 8 * time.Second, true},
		{"program offers", false, 8 * time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) { s.runWithProgram(t, c) })
	}
}

func (s *roamStage) runWithProgram(t *testing.T, c change) {
	person := (&browser{t, s.person.ctx}).newPage("Person", pageOptions{phone: true})
	person.arrive(s.node.URL())
	var prog *program
	if c.personFirst {
		person.start()
		person.view(step, "search")
		prog = startProgram(t, s.net.Partner, s.node, s.cert)
	} else {
		prog = startProgram(t, s.net.Partner, s.node, s.cert)
		person.start()
	}
	room := person.inCall("")
	before := person.watching()
	prog.until(media, func(r programReport) bool { return r.Frames > 5 && r.State == "connected" }, "sees the person")
	if prog.report().Offers == c.personFirst {
		t.Fatalf("the program offers: %v", prog.report().Offers)
	}
	person.do(beginTrace())

	var back time.Time
	t.Cleanup(func() { s.atHome(); person.logTrace(back) })
	s.net.LoseWifi()
	pause(c.gap)
	s.net.JoinMobile()
	back = time.Now()

	person.movesAgain(back.Add(healed))
	frames := prog.report().Frames
	prog.until(time.Until(back.Add(healed)), func(r programReport) bool { return r.State == "connected" && r.Frames > frames+5 }, "sees the person again")
	person.send("after")
	prog.until(step, func(r programReport) bool { return len(r.Texts) == 1 && r.Texts[0] == "after" }, "reads")
	person.kept(room, before, true)
	if r := prog.report(); r.Matches != 1 || r.Left != "" || string(r.Room) != room {
		t.Errorf("the program lost its partner: %+v", r)
	}
}

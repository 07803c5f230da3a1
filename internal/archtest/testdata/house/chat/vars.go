// Package chat is a fixture.
package chat

import (
	"embed"
	"encoding/base32"
	"errors"
	"net/http"
	"net/netip"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

type iface interface{ m() }

type kind int

func (kind) m() {}

type table struct {
	name string
	mu   sync.Mutex
	next []kind
}

type counter struct{ n int }

func (c *counter) add() { c.n++ }

// Allowed.
var (
	_         iface = kind(0)
	ErrOne          = errors.New("one")
	errTwo          = protocol.Errorf("two")
	errThree        = &protocol.Error{Code: "three"}
	pattern         = regexp.MustCompile("x")
	encoding        = base32.StdEncoding.WithPadding(base32.NoPadding)
	loopback        = netip.MustParsePrefix("127.0.0.0/8")
	names           = map[kind]string{1: "one"}
	prefixes        = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), loopback}
	funcs           = map[string]func(){"a": func() {}, "b": shadow}
	raw             = []byte("abc")
	durations       = [...]time.Duration{time.Second, 2 * time.Second}
	zero            = counter{}
	structs         = []struct {
		name string
		wait time.Duration
	}{{"a", time.Second}}
)

//go:embed vars.go
var source embed.FS

// Refused.
var (
	mu       sync.Mutex                                // want vars
	flags    atomic.Int64                              // want vars
	pool     = sync.Pool{}                             // want vars
	client   = &http.Client{}                          // want vars
	queue    = make(chan int)                          // want vars
	cache    = map[string]int{}                        // want vars
	list     = []int{1}                                // want vars
	total    = counter{}                               // want vars
	limit    = 5                                       // want vars
	now      = time.Now                                // want vars
	hook     = func() {}                               // want vars
	started  = time.Now()                              // want vars
	shared   = http.DefaultClient                      // want vars
	copied   = [2]int{1, 2}                            // want vars
	counts   = map[string]*counter{}                   // want vars
	pointed  = [1]int{1}                               // want vars
	Exported = map[string]int{"a": 1}                  // want vars
	locked   = table{name: "x"}                        // want vars
	gone     = map[string]int{"a": 1}                  // want vars
	once     = sync.OnceValue(func() int { return 1 }) // want vars
	empty    []string                                  // want vars
	outer, _ = time.ParseDuration("1s")                // want vars
)

func shadow() {
	names := map[kind]string{}
	names[1] = "a local one"
	cache["a"] = 1
	list = append(list, 2)
	total.add()
	copy(copied[:], []int{3})
	counts["a"].n++
	_ = &pointed[0]
	delete(gone, "a")
}

package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rondo-chat/rondo/e2e/lab"
	"github.com/rondo-chat/rondo/internal/testenv"
)

// comeFrom makes the person come from another address, with the same cookies.
func (p *person) comeFrom(i int) *person {
	transport := &http.Transport{DialContext: lab.DialFrom(i), DisableKeepAlives: true}
	p.t.Cleanup(transport.CloseIdleConnections)
	q := *p
	q.from, q.http = i, &http.Client{Jar: p.jar, Transport: transport, Timeout: p.http.Timeout}
	return &q
}

// TestTwoTabsRefreshing: two tabs of one browser refresh 1,000 times, at once and over
// HTTP, and nobody is logged out. It is four browsers, since one session may refresh
// only so often.
func TestTwoTabsRefreshing(t *testing.T) {
	const browsers, times = 4, 125 // of each tab
	s := newService(t, "sqlite:"+filepath.Join(t.TempDir(), "rondo.db"))
	n := s.node(t)
	var refreshed atomic.Int64
	var tabs sync.WaitGroup
	var all []*person
	for i := range browsers {
		p := browser(t, n, 10+i, fmt.Sprintf("twotabs%d", i))
		p.join(s)
		all = append(all, p)
		for tab := range 2 {
			tabs.Go(func() {
				there := p.comeFrom(100 + 2*i + tab)
				for range times {
					got, err := there.try("POST", "/auth/refresh", fields{})
					if err != nil || got.status != http.StatusOK {
						t.Errorf("%s, tab %d: %d %s %v", p.username, tab, got.status, got.raw, err)
						return
					}
					refreshed.Add(1)
				}
			})
		}
	}
	tabs.Wait()
	if n := refreshed.Load(); n != 2*browsers*times {
		t.Errorf("%d refreshes", n)
	}
	for _, p := range all {
		p.wants(http.StatusOK, "GET", "/me", nil)
		p.wants(http.StatusOK, "POST", "/auth/refresh", fields{})
		devices, _ := p.wants(http.StatusOK, "GET", "/me/devices", nil).body["devices"].([]any)
		if len(devices) != 1 {
			t.Errorf("%s has %d devices", p.username, len(devices))
		}
	}
}

// TestStuffingFromOneAddress: somebody tries lists of passwords as fast as they can.
// Behind the same address, people who were there before log in, and who is logged in
// notices nothing.
func TestStuffingFromOneAddress(t *testing.T) {
	s := newService(t, "sqlite:"+filepath.Join(t.TempDir(), "rondo.db"))
	n := s.node(t)
	const shared = 7
	ann, bob := browser(t, n, shared, "ann"), browser(t, n, shared, "bob")
	ann.join(s)
	bob.join(s)
	ann.wants(http.StatusNoContent, "POST", "/auth/logout", fields{})

	ctx, stop := context.WithCancel(t.Context())
	var attackers sync.WaitGroup
	var tried, refused atomic.Int64
	for i := range 6 {
		attackers.Go(func() {
			evil := browser(t, n, shared, "evil")
			for j := 0; ctx.Err() == nil; j++ {
				got, err := evil.try("POST", "/auth/login", fields{"login": fmt.Sprintf("user%d_%d@example.org", i, j), "password": "123456789"})
				switch {
				case err != nil || got.status == http.StatusOK:
					t.Errorf("%d %s %v", got.status, got.raw, err)
					return
				case got.status == http.StatusTooManyRequests:
					refused.Add(1)
				default:
					tried.Add(1)
				}
			}
		})
	}
	defer attackers.Wait()
	defer stop()
	testenv.Eventually(t, 2*wait, func() bool { return refused.Load() >= 100 || t.Failed() }, "the address has had its share")
	for range 3 {
		ann.wants(http.StatusOK, "POST", "/auth/login", ann.login())
		ann.wants(http.StatusOK, "GET", "/me", nil)
		bob.wants(http.StatusOK, "POST", "/auth/refresh", fields{})
		ann.wants(http.StatusNoContent, "POST", "/auth/logout", fields{})
	}
	if n := tried.Load(); n > 150 {
		t.Errorf("%d passwords were tried", n)
	}
}

// TestStuffingFromAThousandAddresses: all try one account. Its owner still comes in at a
// device that the account knows, and others are not affected.
func TestStuffingFromAThousandAddresses(t *testing.T) {
	s := newService(t, "sqlite:"+filepath.Join(t.TempDir(), "rondo.db"))
	n := s.node(t)
	ann, bob := browser(t, n, 1, "ann"), browser(t, n, 2, "bob")
	ann.join(s)
	bob.join(s)
	evil := browser(t, n, 3, "evil")
	var next, tried atomic.Int64
	var attackers sync.WaitGroup
	for range 8 {
		attackers.Go(func() {
			for i := next.Add(1); i <= 1000; i = next.Add(1) {
				got, err := evil.comeFrom(1000+int(i)).try("POST", "/auth/login", fields{"login": []string{"ann", "ann@example.org"}[i%2], "password": fmt.Sprintf("password %d", i)})
				switch {
				case err != nil || got.status == http.StatusOK:
					t.Errorf("%d %s %v", got.status, got.raw, err)
					return
				case got.status != http.StatusTooManyRequests:
					tried.Add(1)
				}
			}
		})
	}
	attackers.Wait()
	if n := tried.Load(); n < 5 || n > 15 { // 10 at once, 1 a minute
		t.Errorf("%d passwords were tried", n)
	}
	ann.wants(http.StatusOK, "POST", "/auth/login", ann.login())
	stranger := browser(t, n, 4, "ann")
	stranger.wants(http.StatusTooManyRequests, "POST", "/auth/login", stranger.login())
	phone := browser(t, n, 5, "bob")
	phone.wants(http.StatusOK, "POST", "/auth/login", phone.login())
}

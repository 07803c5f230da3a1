package signaling

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// watchBatch is how many connections one call of the kernel tells of.
const watchBatch = 128

// watcher waits for what comes over connections that have no goroutine of their own,
// with one goroutine for all of them. It is an epoll set, edge-triggered, for which
// the runtime's own poller waits.
type watcher struct {
	epoll int
	file  *os.File // of epoll; closing it ends the goroutine
	raw   syscall.RawConn
	wg    sync.WaitGroup

	// Owned by the goroutine. The functions are made once.
	look   func(fd uintptr) bool
	events []syscall.EpollEvent
	found  int
	fill   func(fd uintptr) bool
	space  []byte // what fill fills
	filled int
	failed error

	mu    sync.Mutex
	spots []spot  // by number; the first one is nobody's
	free  []int32 // numbers of spots
}

// spot is a place in the set. Its turn tells events of it from older ones.
type spot struct {
	t    *webSocket
	turn int32
}

// newWatcher starts a watcher.
func newWatcher() (*watcher, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err == nil {
		err = syscall.SetNonblock(fd, true) // else os.File does not use the poller
	}
	if err != nil {
		return nil, fmt.Errorf("signaling: epoll: %w", err)
	}
	w := &watcher{epoll: fd, file: os.NewFile(uintptr(fd), "epoll"), events: make([]syscall.EpollEvent, watchBatch), spots: make([]spot, 1)}
	if w.raw, err = w.file.SyscallConn(); err != nil {
		_ = w.file.Close()
		return nil, fmt.Errorf("signaling: epoll: %w", err)
	}
	w.look = func(fd uintptr) bool {
		w.found, w.failed = syscall.EpollWait(int(fd), w.events, 0)
		return w.found > 0 || w.failed != nil
	}
	w.fill = func(fd uintptr) bool {
		w.filled, w.failed = syscall.Read(int(fd), w.space)
		return true // in any case: nobody waits here
	}
	w.wg.Go(w.run)
	return w, nil
}

// close ends the goroutine. No connection may be parked any more.
func (w *watcher) close() {
	_ = w.file.Close() // nothing was written
	w.wg.Wait()
}

func (w *watcher) run() {
	for w.raw.Read(w.look) == nil {
		for _, e := range w.events[:max(w.found, 0)] {
			if t := w.at(e); t != nil {
				t.stir(w, e.Events&(syscall.EPOLLHUP|syscall.EPOLLRDHUP|syscall.EPOLLERR) != 0)
			}
		}
	}
}

// at returns whom an event is about; nil if that is over.
func (w *watcher) at(e syscall.EpollEvent) *webSocket {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.spots[e.Fd]; s.turn == e.Pad {
		return s.t
	}
	return nil
}

// add takes t into the set if it is still parked. What came before makes an event too.
func (w *watcher) add(t *webSocket) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.state.Load() != parked || t.spot != 0 { // somebody has woken it meanwhile, and perhaps parked it again
		return nil
	}
	n := w.spotLocked()
	w.spots[n].t = t
	var failed error
	err := t.below.Control(func(fd uintptr) {
		e := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | edgeTriggered, Fd: n, Pad: w.spots[n].turn}
		failed = syscall.EpollCtl(w.epoll, syscall.EPOLL_CTL_ADD, int(fd), &e)
	})
	if err = errors.Join(err, failed); err != nil {
		w.leaveLocked(n)
		return err
	}
	t.spot = n
	return nil
}

// edgeTriggered is EPOLLET, which package syscall has as a negative number.
const edgeTriggered = 1 << 31

// remove takes t out of the set. Closing a connection does that too, but for the spot.
func (w *watcher) remove(t *webSocket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.spot == 0 {
		return
	}
	_ = t.below.Control(func(fd uintptr) { // closed: it is out
		_ = syscall.EpollCtl(w.epoll, syscall.EPOLL_CTL_DEL, int(fd), nil)
	})
	w.leaveLocked(t.spot)
	t.spot = 0
}

func (w *watcher) spotLocked() int32 {
	if last := len(w.free) - 1; last >= 0 {
		n := w.free[last]
		w.free = w.free[:last]
		return n
	}
	w.spots = append(w.spots, spot{})
	return int32(len(w.spots) - 1)
}

func (w *watcher) leaveLocked(n int32) {
	w.spots[n] = spot{turn: w.spots[n].turn + 1}
	w.free = append(w.free, n)
}

// read reads what came over t, without waiting. It returns false where there is more,
// or an end, for a goroutine to see.
func (w *watcher) read(t *webSocket) (all bool) {
	b := t.lend()
	w.space = b.b
	if err := t.raw.Read(w.fill); err != nil { // closed, or past its deadline
		return false
	}
	switch {
	case errors.Is(w.failed, syscall.EAGAIN):
		return true
	case w.failed != nil || w.filled <= 0:
		return false
	}
	b.w = w.filled
	t.ev.heard(w.filled)
	return w.filled < len(w.space)
}

//go:build !linux

package signaling

// watcher does nothing here: each connection has a goroutine.
type watcher struct{}

func newWatcher() (*watcher, error) { return nil, nil }

func (*watcher) close()               {}
func (*watcher) add(*webSocket) error { return nil }
func (*watcher) remove(*webSocket)    {}
func (*watcher) read(*webSocket) bool { return false }

package signaling

// States of a webSocket.
const (
	awake    int32 = iota // a goroutine has it
	parked                // nobody has it
	stirring              // the watcher has it
)

func (t *webSocket) park() bool {
	if t.watcher == nil || t.open || !t.dry() {
		return false
	}
	t.ready = nil
	t.state.Store(parked)
	// From here on somebody else may have it: whoever takes it out of that state.
	if t.watcher.add(t) != nil || t.over.Load() {
		return !t.state.CompareAndSwap(parked, awake)
	}
	return true
}

func (t *webSocket) unpark() { t.watcher.remove(t) }

// end lets who waits for something to come see that nothing will.
func (t *webSocket) end() {
	t.over.Store(true)
	if t.state.CompareAndSwap(parked, awake) {
		t.ev.rouse()
	}
}

// stir is called by the watcher when something came over a parked connection, or its
// end. What needs no goroutine is done here.
func (t *webSocket) stir(w *watcher, over bool) {
	if !t.state.CompareAndSwap(parked, stirring) {
		return // it is being woken
	}
	// TLS may answer to what it reads, for which nobody can wait here.
	if !over && t.raw != nil && w.read(t) && t.settled() {
		t.giveBack()
		t.state.Store(parked)
		if !t.over.Load() || !t.state.CompareAndSwap(parked, awake) {
			return
		}
	}
	t.state.Store(awake)
	t.ev.rouse()
}

// pong is how the messages begin that most connections have nothing but.
const pong = `{"t":"pong"`

// settled reports whether nothing is left of what came.
func (t *webSocket) settled() bool {
	return t.buffered() == 0 || t.holds(pong) && t.ev.stirred() && t.buffered() == 0
}

// holds reports whether what came is one whole message that begins so.
func (t *webSocket) holds(text string) bool {
	const head = 6
	b := t.buf.b[t.buf.r:t.buf.w]
	if len(b) < head+len(text) || b[0] != final|opText || b[1]&masked == 0 || b[1]&^masked > maxControl || int(b[1]&^masked) != len(b)-head {
		return false
	}
	for i := range text {
		if b[head+i]^b[2+i%4] != text[i] {
			return false
		}
	}
	return true
}

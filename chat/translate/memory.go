package translate

import (
	"container/list"
	"sync"
)

// overhead is about what an entry costs beside its text.
const overhead = 256

// memory keeps the translations used last. It is bounded in bytes.
type memory struct {
	most int

	mu      sync.Mutex
	bytes   int
	entries map[string]*list.Element
	order   *list.List // of *entry, used last first
}

type entry struct {
	key string
	t   Translation
}

func (e *entry) size() int { return len(e.key) + len(e.t.Text) + len(e.t.From) + overhead }

func newMemory(most int) *memory {
	return &memory{most: most, entries: map[string]*list.Element{}, order: list.New()}
}

func (m *memory) get(key string) (Translation, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	el, ok := m.entries[key]
	if !ok {
		return Translation{}, false
	}
	m.order.MoveToFront(el)
	return el.Value.(*entry).t, true
}

func (m *memory) put(key string, t Translation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if el, ok := m.entries[key]; ok {
		m.removeLocked(el)
	}
	e := &entry{key, t}
	m.entries[key] = m.order.PushFront(e)
	m.bytes += e.size()
	for m.bytes > m.most {
		m.removeLocked(m.order.Back())
	}
}

func (m *memory) removeLocked(el *list.Element) {
	e := m.order.Remove(el).(*entry)
	delete(m.entries, e.key)
	m.bytes -= e.size()
}

func (m *memory) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}

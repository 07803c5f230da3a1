package matchmaking

import "container/heap"

// agenda orders searches by when they are due.
type agenda struct{ heap searchHeap }

// set puts the search, whose due is set, in its place, and reports whether it
// is the first now.
func (a *agenda) set(s *search) (first bool) {
	if s.index < 0 {
		heap.Push(&a.heap, s)
	} else {
		heap.Fix(&a.heap, s.index)
	}
	return s.index == 0
}

func (a *agenda) remove(s *search) {
	if s.index >= 0 {
		heap.Remove(&a.heap, s.index)
	}
}

// first returns the search that is due first, nil if there is none.
func (a *agenda) first() *search {
	if len(a.heap) == 0 {
		return nil
	}
	return a.heap[0]
}

type searchHeap []*search

func (h searchHeap) Len() int           { return len(h) }
func (h searchHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h searchHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *searchHeap) Push(x any) {
	s := x.(*search)
	s.index = len(*h)
	*h = append(*h, s)
}

// Pop implements heap.Interface.
func (h *searchHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	s.index = -1
	return s
}

package wordlist

// automaton finds whether one of several patterns is in a text, in time proportional to the text (Aho and
// Corasick, 1975). It is not changed once it is built.
type automaton struct {
	next map[edge]int32
	fail []int32
	hit  []bool // a pattern ends here, or at where it fails to
}

type edge struct {
	from int32
	r    rune
}

func newAutomaton() *automaton {
	return &automaton{next: map[edge]int32{}, fail: []int32{0}, hit: []bool{false}}
}

// add adds a pattern, which is not empty.
func (a *automaton) add(pattern []rune) {
	at := int32(0)
	for _, r := range pattern {
		to, ok := a.next[edge{at, r}]
		if !ok {
			to = int32(len(a.hit))
			a.next[edge{at, r}] = to
			a.fail, a.hit = append(a.fail, 0), append(a.hit, false)
		}
		at = to
	}
	a.hit[at] = true
}

// build finds where to go on when a pattern breaks off: breadth first, so that shorter ones are known.
func (a *automaton) build() {
	edges := make([][]edge, len(a.hit)) // of each node
	for e := range a.next {
		edges[e.from] = append(edges[e.from], e)
	}
	queue := []int32{0}
	for len(queue) > 0 {
		node := queue[0]
		queue = queue[1:]
		for _, e := range edges[node] {
			child := a.next[e]
			if node != 0 {
				a.fail[child] = a.step(a.fail[node], e.r)
			}
			a.hit[child] = a.hit[child] || a.hit[a.fail[child]]
			queue = append(queue, child)
		}
	}
}

func (a *automaton) step(at int32, r rune) int32 {
	for {
		if to, ok := a.next[edge{at, r}]; ok {
			return to
		}
		if at == 0 {
			return 0
		}
		at = a.fail[at]
	}
}

// found reports whether one of the patterns is in the text.
func (a *automaton) found(text []rune) bool {
	at := int32(0)
	for _, r := range text {
		if at = a.step(at, r); a.hit[at] {
			return true
		}
	}
	return false
}

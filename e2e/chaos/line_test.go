package chaos

import (
	"slices"
	"testing"
	"time"
)

// held is what a process holds at a moment.
type held struct {
	at    time.Duration
	value [5]float64 // see resources
}

// resource is what must not grow: by the factor and the amount that quarters of a
// run differ by chance, where users come and go and faults pile work up.
type resource struct {
	name   string
	unit   float64
	factor float64
	amount float64
}

func resources() [5]resource {
	return [5]resource{
		{"resident memory, MiB", 1 << 20, 1.15, 8},
		{"heap in use, MiB", 1 << 20, 1.15, 6},
		{"goroutines", 1, 1.1, 30},
		{"file descriptors", 1, 1.1, 20},
		{"heap after GC, MiB", 1 << 20, 1.15, 4},
	}
}

// line is what a process held over time.
type line struct {
	points []held
	missed int // it was stopped, or had no descriptor left for who asks
}

// judge compares the medians of the first and the last quarter after the first
// fifth, in which everything is met for the first time.
func (l *line) judge(t testing.TB, name string) {
	t.Helper()
	warm := l.points[len(l.points)/5:]
	quarter := len(warm) / 4
	if quarter < 5 {
		t.Fatalf("%s: only %d samples (%d missed): run for longer", name, len(l.points), l.missed)
	}
	for i, r := range resources() {
		first, last := median(warm[:quarter], i)/r.unit, median(warm[len(warm)-quarter:], i)/r.unit
		most := 0.0
		for _, p := range warm {
			most = max(most, p.value[i]/r.unit)
		}
		limit := first*r.factor + r.amount
		t.Logf("%s: %-20s first quarter %6.1f, last %6.1f, most %6.1f, limit of the last %6.1f, slope %+.2f an hour (%d samples in %v)",
			name, r.name, first, last, most, limit, slope(warm, i)/r.unit, len(l.points), l.points[len(l.points)-1].at.Round(time.Second))
		if last > limit {
			t.Errorf("%s: %s grows: from %.1f to %.1f", name, r.name, first, last)
		}
	}
}

// slope is by how much the straight line through the points rises in an hour.
func slope(points []held, i int) float64 {
	var t, v float64
	for _, p := range points {
		t, v = t+p.at.Hours(), v+p.value[i]
	}
	n := float64(len(points))
	t, v = t/n, v/n
	var up, along float64
	for _, p := range points {
		up += (p.at.Hours() - t) * (p.value[i] - v)
		along += (p.at.Hours() - t) * (p.at.Hours() - t)
	}
	return up / along
}

func median(points []held, i int) float64 {
	var v []float64
	for _, p := range points {
		v = append(v, p.value[i])
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// TestLine: a line that grows is found, one that wavers is not.
func TestLine(t *testing.T) {
	for name, grows := range map[string]bool{"flat": false, "leak": true} {
		var l line
		for i := range 150 {
			p := held{at: time.Duration(i) * 2 * time.Second, value: [5]float64{80 << 20, 20 << 20, 500, 100, 10 << 20}}
			p.value[2] += float64(i % 20)
			if grows {
				p.value[2] += float64(i)
			}
			l.points = append(l.points, p)
		}
		if got := slope(l.points, 2); grows != (got > 1700 && got < 2200) {
			t.Errorf("%s: slope %.1f", name, got) // one more every two seconds: 1,800 and the wave's rest
		}
		q := &quiet{TB: t}
		if l.judge(q, name); q.failed != grows {
			t.Errorf("%s: found %t, want %t", name, q.failed, grows)
		}
	}
}

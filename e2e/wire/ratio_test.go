//go:build linux

package wire

import (
	"slices"
	"testing"
	"time"
)

// ratio compares what two servers used for the same work.
type ratio struct {
	n             int // messages in a round
	bare, ours    []float64
	of            []float64
	mallocs, size []float64
	writes        []float64
}

func newRatio(n int) *ratio { return &ratio{n: n} }

// add adds a round.
func (r *ratio) add(bare, ours used) {
	n := float64(r.n)
	r.bare = append(r.bare, float64(bare.CPU)/float64(time.Microsecond)/n)
	r.ours = append(r.ours, float64(ours.CPU)/float64(time.Microsecond)/n)
	r.of = append(r.of, float64(ours.CPU)/float64(bare.CPU))
	r.mallocs = append(r.mallocs, float64(ours.Mallocs)/n)
	r.writes = append(r.writes, float64(ours.Writes)/n)
	r.size = append(r.size, float64(ours.Bytes)/n)
}

// report gives the medians, and between what the ratio was.
func (r *ratio) report(b *testing.B, unit string) {
	b.ReportMetric(0, "ns/op") // says nothing: the time is also the clients'
	b.ReportMetric(median(r.bare), "cpu-µs/bare-"+unit)
	b.ReportMetric(median(r.ours), "cpu-µs/"+unit)
	b.ReportMetric(median(r.of), "cpu-ratio")
	b.ReportMetric(slices.Min(r.of), "cpu-ratio-min")
	b.ReportMetric(slices.Max(r.of), "cpu-ratio-max")
	b.ReportMetric(median(r.mallocs), "allocs/"+unit)
	b.ReportMetric(median(r.writes), "writes/"+unit)
	b.ReportMetric(median(r.size), "B/"+unit)
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

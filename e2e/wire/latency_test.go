//go:build linux

package wire

import (
	"slices"
	"testing"
	"time"
)

// perSecond is how many messages come, evenly, whatever became of those before.
const perSecond = 4000

// paced lets all pairs send for so long, and returns how long each message took from its
// sender's write until its receiver had it.
func paced(b testing.TB, all []pair, d time.Duration) []time.Duration {
	b.Helper()
	each1 := int(d.Seconds() * perSecond / float64(len(all)))
	begin := time.Now()
	took := make([][]time.Duration, len(all))
	each(b, len(all), func(i int) error {
		sent := make(chan time.Time, each1)
		failed := make(chan error, 1)
		go func() {
			defer close(sent)
			for n := range each1 {
				<-time.After(time.Until(begin.Add(time.Duration(n*len(all)+i) * time.Second / perSecond)))
				sent <- time.Now()
				if err := all[i][0].send(1, 500); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
		for at := range sent {
			if err := all[i][1].receive(1); err != nil {
				return err
			}
			took[i] = append(took[i], time.Since(at))
		}
		return <-failed
	})
	return slices.Sorted(slices.Values(slices.Concat(took...)))
}

// BenchmarkLatency: how long a message takes at a pace that leaves time, beside a bare
// relay. Clients share the cores with both. One round a turn, of two seconds each.
func BenchmarkLatency(b *testing.B) {
	ours, bare := start(b, "rondo"), start(b, "relay")
	ourPairs, barePairs := rondoPairs(b, ours.addr), barePairs(b, bare.addr)
	at := map[string]float64{"p50": 0.5, "p99": 0.99}
	of := map[string][]float64{}
	for b.Loop() {
		bareTook, took := paced(b, barePairs, 2*time.Second), paced(b, ourPairs, 2*time.Second)
		for name, q := range at {
			one, other := quantile(bareTook, q), quantile(took, q)
			of["µs-bare-"+name] = append(of["µs-bare-"+name], one)
			of["µs-"+name] = append(of["µs-"+name], other)
			of[name+"-ratio"] = append(of[name+"-ratio"], other/one)
		}
	}
	b.ReportMetric(0, "ns/op")
	for name, list := range of {
		b.ReportMetric(median(list), name)
	}
}

func quantile(sorted []time.Duration, q float64) float64 {
	return float64(sorted[int(q*float64(len(sorted)-1))]) / float64(time.Microsecond)
}

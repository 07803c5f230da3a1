package translate

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	texts, calls *prometheus.CounterVec
	refused      *prometheus.CounterVec
	characters   prometheus.Counter
	seconds      prometheus.Histogram
}

func newMetrics(t *Translator, reg prometheus.Registerer) *metrics {
	m := &metrics{
		texts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_translate_texts_total", Help: "Texts asked for, by where the answer came from.",
		}, []string{"from"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_translate_calls_total", Help: "Calls of the provider, by how they ended.",
		}, []string{"result"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_translate_refused_total", Help: "Requests whose new texts were not sent to the provider, by why.",
		}, []string{"reason"}),
		characters: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rondo_translate_characters_total", Help: "Characters sent to the provider, which counts them too.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rondo_translate_seconds", Help: "Duration of the provider's calls, waiting for a free one included.",
			Buckets: []float64{0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10},
		}),
	}
	for _, v := range []string{"memory", "cache", "provider", "nobody"} {
		m.texts.WithLabelValues(v)
	}
	for _, v := range []string{"ok", "language", "busy", "quota", "timeout", "failed"} {
		m.calls.WithLabelValues(v)
	}
	for _, v := range []string{"user", "total", "circuit", "queue"} {
		m.refused.WithLabelValues(v)
	}
	if reg != nil {
		reg.MustRegister(m.texts, m.calls, m.refused, m.characters, m.seconds,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "rondo_translate_circuit_open", Help: "1 while the provider is not asked because it does not work.",
			}, func() float64 {
				if t.breaker.open(t.cfg.now()) > 0 {
					return 1
				}
				return 0
			}),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "rondo_translate_memory_bytes", Help: "Translations kept in memory.",
			}, func() float64 { return float64(t.memory.size()) }))
	}
	return m
}

// result names how a call ended.
func result(err error) string {
	busy, isBusy := errors.AsType[*BusyError](err)
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrLanguage):
		return "language"
	case isBusy && busy.Quota:
		return "quota"
	case isBusy:
		return "busy"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "failed"
}

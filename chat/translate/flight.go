package translate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rondo-chat/rondo/internal/text"
	"github.com/rondo-chat/rondo/protocol"
)

// flight is a text on its way, for all who want it. Result and err are there when done is closed.
type flight struct {
	want   *want // of who began; only key and text are read
	done   chan struct{}
	result Translation
	err    error // a *protocol.Error
}

// wait returns what landed before ctx ended.
func (f *flight) wait(ctx context.Context) (Translation, error) {
	select {
	case <-f.done:
		return f.result, f.err
	case <-ctx.Done():
	}
	select {
	case <-f.done:
		return f.result, f.err
	default:
		return Translation{}, unavailable(time.Second)
	}
}

// join returns the flight of each want; those that nobody has begun it begins. They are over
// within Config.Timeout.
func (t *Translator) join(target string, wants []*want) []*flight {
	all := make([]*flight, len(wants))
	var own []*flight
	t.mu.Lock()
	for i, w := range wants {
		f, ok := t.flights[w.key]
		if !ok {
			f = &flight{want: w, done: make(chan struct{})}
			t.flights[w.key] = f
			own = append(own, f)
		}
		all[i] = f
	}
	calls := chunks(own)
	begin := !t.ended
	if begin {
		t.calls.Add(len(calls))
	}
	t.mu.Unlock()
	for _, chunk := range calls {
		if !begin {
			t.land(chunk, nil, context.Canceled)
			continue
		}
		if t.waiting.Add(1) > int64(t.cfg.Queue+t.cfg.Concurrency) {
			t.m.refused.WithLabelValues("queue").Inc()
			t.land(chunk, nil, errQueue)
			t.waiting.Add(-1)
			t.calls.Done()
			continue
		}
		go func() {
			defer t.calls.Done()
			defer t.waiting.Add(-1)
			t.fly(target, chunk)
		}()
	}
	return all
}

// errQueue and errOpen are why a call was not made.
var (
	errQueue = errors.New("too many calls wait")
	errOpen  = errors.New("the circuit is open")
)

// chunks parts flights into calls.
func chunks(list []*flight) [][]*flight {
	var all [][]*flight
	chars := 0
	for _, f := range list {
		n := utf8.RuneCountInString(f.want.text)
		last := len(all) - 1
		if last < 0 || len(all[last]) >= chunkTexts || chars+n > chunkChars {
			all, chars = append(all, nil), 0
			last++
		}
		all[last], chars = append(all[last], f), chars+n
	}
	return all
}

// fly makes one call.
func (t *Translator) fly(target string, chunk []*flight) {
	ctx, cancel := context.WithTimeout(t.life, t.cfg.Timeout)
	defer cancel()
	start := time.Now()
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done(): // the calls before this one tell the breaker
		t.land(chunk, nil, errQueue)
		return
	}
	if t.breaker.enter(t.cfg.now()) > 0 {
		t.land(chunk, nil, errOpen)
		return
	}
	texts, chars := make([]string, len(chunk)), 0
	for i, f := range chunk {
		texts[i] = f.want.text
		chars += utf8.RuneCountInString(f.want.text)
	}
	t.m.characters.Add(float64(chars))
	list, err := t.cfg.Provider.Translate(ctx, texts, "", target)
	if err == nil && len(list) != len(texts) {
		err = fmt.Errorf("%d translations of %d texts", len(list), len(texts))
	}
	t.note(ctx, start, err)
	for i := range list {
		if err == nil {
			list[i] = clean(list[i], texts[i], target)
		}
	}
	t.land(chunk, list, err)
	t.share(chunk)
}

// note tells breaker, metrics and log how a call ended.
func (t *Translator) note(ctx context.Context, start time.Time, err error) {
	if err != nil && t.life.Err() != nil {
		err = context.Canceled
	} else if err != nil && ctx.Err() != nil {
		err = context.DeadlineExceeded
	}
	t.m.seconds.Observe(time.Since(start).Seconds())
	t.m.calls.WithLabelValues(result(err)).Inc()
	opened, closed := t.breaker.note(t.cfg.now(), err)
	if opened {
		t.cfg.Logger.Warn("translate: the provider does not work, it is not asked for a while", "provider", t.cfg.Provider.Name(), "error", err)
	}
	if closed {
		t.cfg.Logger.Info("translate: the provider works again", "provider", t.cfg.Provider.Name())
	}
}

// land tells who waits.
func (t *Translator) land(chunk []*flight, list []Translation, err error) {
	var shown error
	switch {
	case errors.Is(err, ErrLanguage):
		shown = protocol.Errorf(protocol.CodeBadRequest, "to: there is no translation into that language")
	case err != nil:
		shown = unavailable(t.breaker.open(t.cfg.now()))
	}
	for i, f := range chunk {
		if f.err = shown; shown == nil {
			f.result = list[i]
		}
		if shown == nil {
			t.memory.put(f.want.key, f.result)
		}
	}
	t.mu.Lock()
	for _, f := range chunk {
		delete(t.flights, f.want.key)
	}
	t.mu.Unlock()
	for _, f := range chunk {
		close(f.done)
	}
}

// share puts what has landed into the cache of all nodes.
func (t *Translator) share(chunk []*flight) {
	list := map[string]Translation{}
	for _, f := range chunk {
		if f.err == nil {
			list[f.want.key] = f.result
		}
	}
	if t.cfg.Cache == nil || len(list) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(t.life, t.cfg.Timeout)
	defer cancel()
	_ = t.cfg.Cache.Put(ctx, list) // it may lose anything
}

// clean makes a provider's answer what a message may be. A text that is in that language already, or
// cannot be translated, is given as it is.
func clean(t Translation, original, target string) Translation {
	from, err := text.Language(t.From)
	if err != nil {
		from = ""
	}
	if from != "" && from == target && from != "zh" {
		return Translation{Text: original, From: from}
	}
	if len(t.Text) > 4*len(original)+1000 {
		return Translation{Text: original, From: from} // it is no translation
	}
	s := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(t.Text, "\ufffd"))
	if strings.TrimSpace(s) == "" {
		return Translation{Text: original, From: from}
	}
	return Translation{Text: s, From: from}
}

package pause_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rondo-chat/rondo/internal/pause"
)

func TestFor(t *testing.T) {
	for _, test := range []struct {
		d, until, took time.Duration
		want           error
	}{
		{time.Second, time.Hour, time.Second, nil},
		{time.Hour, time.Second, time.Second, context.DeadlineExceeded},
		{0, time.Second, 0, nil},
		{-time.Second, time.Second, 0, nil},
		{0, 0, 0, context.DeadlineExceeded},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), test.until)
			defer cancel()
			began := time.Now()
			if err := pause.For(ctx, test.d); !errors.Is(err, test.want) || time.Since(began) != test.took {
				t.Errorf("%v of %v: %v after %v", test.d, test.until, err, time.Since(began))
			}
		})
	}
}

package spandrel

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel"
)

// wish is a snapshot to be taken, and the way to its result.
type wish struct {
	bySpan bool          // nobody waits, so an error goes to otel.Handle; guarded by Recorder.mutex
	done   chan struct{} // closed when err is set
	err    error
}

// ask returns the wish that has not begun, a new one if need be, or nil after Shutdown.
func (r *Recorder) ask(bySpan bool) *wish {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.closed {
		return nil
	}
	r.counters.requested.Add(1)
	if r.next == nil {
		r.next = &wish{done: make(chan struct{})}
		r.wake <- struct{}{} // Has room: the worker empties it before it takes a wish.
	} else {
		r.counters.joined.Add(1)
	}
	r.next.bySpan = r.next.bySpan || bySpan
	return r.next
}

func (w *wish) wait(ctx context.Context) error {
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return fmt.Errorf("spandrel: waiting for the snapshot: %w", ctx.Err())
	}
}

// work grants wishes, one after the other, until Shutdown.
func (r *Recorder) work() {
	defer close(r.stopped)
	defer r.giveUp()
	defer r.flight.Stop()
	turn := time.Now()
	for {
		select {
		case <-r.wake:
		case <-r.closing:
		}
		r.waitUntil(turn)
		wish, closed := r.take()
		if wish != nil {
			turn = time.Now().Add(r.config.MinInterval)
			r.grant(wish)
		} else if closed {
			return
		}
	}
}

// waitUntil waits, but not after Shutdown.
func (r *Recorder) waitUntil(turn time.Time) {
	timer := time.NewTimer(time.Until(turn))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.closing:
	}
}

func (r *Recorder) take() (taken *wish, closed bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.current, r.next = r.next, nil
	return r.current, r.closed
}

func (r *Recorder) grant(wish *wish) {
	sentBytes, err := r.takeAndPush()
	r.counters.count(sentBytes, err)
	r.mutex.Lock()
	r.current = nil
	bySpan := wish.bySpan
	r.mutex.Unlock()
	wish.err = err
	close(wish.done)
	if err != nil && bySpan {
		otel.Handle(err)
	}
}

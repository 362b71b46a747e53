package service

import (
	"errors"
	"sync"
)

// ErrQueueFull means that the workers have more waiting work than they accept.
var ErrQueueFull = errors.New("the queue is full")

// Workers is a fixed number of goroutines behind a bounded channel.
type Workers struct {
	queue   chan task
	running sync.WaitGroup
}

type task struct {
	run  func()
	done chan struct{}
}

// StartWorkers starts count goroutines behind a queue that holds up to backlog waiting tasks.
func StartWorkers(count, backlog int) *Workers {
	w := &Workers{queue: make(chan task, backlog)}
	for range count {
		w.running.Go(func() {
			for t := range w.queue {
				t.run()
				close(t.done)
			}
		})
	}
	return w
}

// Submit queues run and returns a channel that is closed when it has run, or [ErrQueueFull].
func (w *Workers) Submit(run func()) (<-chan struct{}, error) {
	t := task{run: run, done: make(chan struct{})}
	select {
	case w.queue <- t:
		return t.done, nil
	default:
		return nil, ErrQueueFull
	}
}

// Close waits for the accepted tasks. Submit must not be called afterwards.
func (w *Workers) Close() {
	close(w.queue)
	w.running.Wait()
}

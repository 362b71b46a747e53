//go:build go1.23

package main

import (
	"iter"
	"time"
)

// coroutine pulls from an iterator: each value is a switch to another goroutine and back. One iterator is drained, one
// is stopped early.
func coroutine() error {
	next, stop := iter.Pull(countTo(10))
	for {
		if _, ok := next(); !ok {
			break
		}
	}
	stop()
	next, stop = iter.Pull(countTo(10))
	next()
	stop()
	time.Sleep(5 * time.Millisecond)
	return nil
}

func countTo(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

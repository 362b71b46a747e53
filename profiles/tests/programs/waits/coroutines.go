//go:build go1.23

package main

import (
	"iter"
	"time"
)

var newerWaits = []func(){coroutine}

// coroutine leaves an iterator suspended for a while.
func coroutine() {
	next, stop := iter.Pull(func(yield func(int) bool) { yield(1) })
	next()
	time.Sleep(hold)
	stop()
}

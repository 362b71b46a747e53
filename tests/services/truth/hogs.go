package main

import (
	"runtime"
	"sync/atomic"
	"time"
)

// occupyOthers has a goroutine compute on every processor but that of the caller. It returns when all have begun, or it
// has waited for long enough: somebody else has the processors.
func occupyOthers(ns int64) (starting work) {
	var begun atomic.Int32
	others := int32(runtime.GOMAXPROCS(0) - 1)
	for range others {
		go func() {
			begun.Add(1)
			compute(ns, never)
		}()
	}
	starting.how = computing
	starting.done, starting.least = compute(int64(time.Millisecond), func() bool { return begun.Load() == others })
	return starting
}

// yieldToHogs occupies every processor and yields. The last hog starts on the processor that is yielded; the others must
// have begun before, or they would leave theirs to this goroutine.
func yieldToHogs(ns int64) (starting work, yielding stretch) {
	starting = occupyOthers(ns)
	var last atomic.Bool
	go func() {
		last.Store(true)
		compute(ns, never)
	}()
	return starting, timed(func() {
		// The scheduler may choose this goroutine again.
		for !last.Load() {
			runtime.Gosched()
		}
	})
}

// wokenByHog waits until the last hog has begun on the processor that it leaves by that. The hog wakes it and keeps the
// processor.
func wokenByHog(ns int64) (starting work, waited wait) {
	starting = occupyOthers(ns)
	hasBegun := make(chan int64, 1)
	go func() {
		hasBegun <- now()
		compute(ns, never)
	}()
	waited.begin = now()
	waited.released = <-hasBegun
	waited.resumed = now()
	return starting, waited
}

func never() bool { return false }

package main

import (
	"context"
	"runtime/trace"
	"sync"
	"time"
)

// mix runs all kinds of work side by side, each again and again.
func mix(length time.Duration) error {
	ctx, task := trace.NewTask(context.Background(), "mix")
	defer task.End()
	// Begins in the first generation and ends in the last one.
	defer trace.StartRegion(ctx, "all of it").End()
	end := time.Now().Add(length)
	errs := make(chan error, 1)
	var all sync.WaitGroup
	start := func(work func() error) {
		all.Add(1)
		go func() {
			defer all.Done()
			for time.Now().Before(end) {
				if err := work(); err != nil {
					select {
					case errs <- err:
					default:
					}
				}
			}
		}()
	}
	var mutex sync.Mutex
	var rw sync.RWMutex
	start(func() error { return holdMutex(&mutex) })
	start(func() error { return holdMutex(&mutex) })
	start(func() error { return readAndWrite(&rw) })
	start(func() error { return readAndWrite(&rw) })
	start(waitForCondition)
	start(passValues)
	start(selectLoop)
	start(spinAndYield)
	start(goAway)
	start(coroutine)
	start(allocate)
	start(stopTheWorld)
	start(func() error { return annotate(ctx) })
	start(blockInSyscall)
	start(talkOverLoopback)
	all.Wait()
	close(errs)
	return <-errs
}

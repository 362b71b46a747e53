//go:build go1.23

package main

import (
	"sync"
	"time"
	"unique"
)

// weakPointers follows a weak pointer all the time: it has to wait where the collector is about to end its mark phase.
func weakPointers(all *sync.WaitGroup, end time.Time) {
	keep := unique.Make("kept")
	all.Add(1)
	go func() {
		defer all.Done()
		for time.Now().Before(end) {
			if unique.Make("kept") != keep {
				panic("equal values have equal handles")
			}
		}
	}()
}

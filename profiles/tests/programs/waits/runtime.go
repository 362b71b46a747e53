package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

var runtimeWaits = []func(){collect, stopTheWorld, finalize, readMetrics, allocate}

// collect asks for collections on several goroutines: one starts it, the others wait for it.
func collect() { together(func() { runtime.GC() }) }

// stopTheWorld takes turns with collections in stopping the world.
func stopTheWorld() {
	together(func() {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		debug.SetGCPercent(debug.SetGCPercent(50))
	})
}

func readMetrics() {
	together(func() { metrics.Read([]metrics.Sample{{Name: "/gc/heap/live:bytes"}}) })
}

func together(act func()) {
	var all sync.WaitGroup
	end := time.Now().Add(hold)
	for range 3 {
		all.Add(1)
		go func() {
			defer all.Done()
			for time.Now().Before(end) {
				act()
				time.Sleep(hold / 40)
			}
		}()
	}
	all.Wait()
}

// finalize gives the finalizer goroutine something to do.
func finalize() {
	for range 4 {
		runtime.SetFinalizer(new([64]byte), func(*[64]byte) {})
		time.Sleep(hold / 4)
	}
}

var live [][]byte

// allocate makes garbage faster than the collector likes, so that it must assist.
func allocate() {
	for end := time.Now().Add(hold); time.Now().Before(end); {
		for i := range 2000 {
			chunk := make([]byte, 4096)
			if i%10 == 0 {
				live = append(live, chunk)
			}
		}
		live = live[len(live)/2:]
		time.Sleep(hold / 20)
	}
}

// Records the CPU profile of `labels.pprof`: two goroutines that burn processor time under the labels that OpenTelemetry's
// convention and dd-trace-go use, and one without labels.
package main

import (
	"context"
	"os"
	"runtime/pprof"
	"sync"
	"time"
)

//go:noinline
func burn(until time.Time) (sum uint64) {
	for time.Now().Before(until) {
		for i := uint64(0); i < 10_000; i++ {
			sum += i * i
		}
	}
	return sum
}

func main() {
	file, err := os.Create("labels.pprof")
	if err != nil {
		panic(err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		panic(err)
	}
	var done sync.WaitGroup
	for _, labels := range [][]string{
		{"trace_id", "4bf92f3577b34da6a3ce929d0e0e4736", "span_id", "00f067aa0ba902b7"},
		{"span id", "18446744073709551614", "local root span id", "1"},
		{"endpoint", "/"},
	} {
		done.Add(1)
		go pprof.Do(context.Background(), pprof.Labels(labels...), func(context.Context) {
			defer done.Done()
			burn(time.Now().Add(300 * time.Millisecond))
		})
	}
	done.Wait()
	pprof.StopCPUProfile()
	if err := file.Close(); err != nil {
		panic(err)
	}
}

// Command burner serves invented requests that burn processor time, first while an execution trace is recorded, then while
// the CPU profiler looks, and writes what a real service would send:
//
//	spans.json    its spans, one OTLP/JSON export request
//	trace.out     an execution trace of the first half, without samples
//	cpu.pprof     a CPU profile of the second half, with the labels of OpenTelemetry's convention
//	both.out      with -together: a trace in which the profiler looked, in the place of trace.out
//
// The labels name the innermost span, or with -root the request.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"path/filepath"
	"runtime/pprof"
	"runtime/trace"
	"time"
)

const (
	requests = 40
	// What a request does in its handler, and in the span of layer db inside.
	handling, querying = 24 * time.Millisecond, 12 * time.Millisecond
	// Between the spans that a profile or trace must cover and its ends.
	margin = 5 * time.Millisecond
)

func main() {
	log.SetFlags(0)
	out := flag.String("out", ".", "directory to write to")
	together := flag.Bool("together", false, "record the execution trace while the profiler looks")
	heap := flag.Bool("heap", false, "write a profile of the heap, too")
	root := flag.Bool("root", false, "label with the request instead of the innermost span")
	flag.Parse()
	service := &service{labelsRoot: *root}
	err := run(service, *out, *together)
	if *heap {
		err = errors.Join(err, writeHeap(filepath.Join(*out, "heap.pprof")))
	}
	if err != nil {
		log.Fatal("burner: ", err)
	}
}

func run(service *service, out string, together bool) error {
	record := func(name string, start func(*os.File) error, stop func(), work func() error) error {
		file, err := os.Create(filepath.Join(out, name))
		if err != nil {
			return err
		}
		if err := start(file); err != nil {
			return err
		}
		time.Sleep(margin)
		err = work()
		time.Sleep(margin)
		stop()
		return errors.Join(err, file.Close())
	}
	traced := func(name string, work func() error) error {
		return record(name, func(file *os.File) error { return trace.Start(file) }, trace.Stop, work)
	}
	profiled := func(work func() error) error {
		start := func(file *os.File) error { return pprof.StartCPUProfile(file) }
		return record("cpu.pprof", start, pprof.StopCPUProfile, work)
	}
	serve := func() error { return service.serve(requests) }
	var err error
	if together {
		err = profiled(func() error { return traced("both.out", serve) })
	} else {
		err = errors.Join(traced("trace.out", serve), profiled(serve))
	}
	return errors.Join(err, service.write(filepath.Join(out, "spans.json")))
}

func writeHeap(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.WriteHeapProfile(file), file.Close())
}

// serve handles so many requests, each on a goroutine of its own.
func (s *service) serve(requests int) error {
	for range requests {
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.span(context.Background(), "GET /report", server, nil, func(ctx context.Context) {
				burn(handling)
				s.span(ctx, "SELECT", client, map[string]string{"db.system.name": "postgresql"}, func(context.Context) {
					query(querying)
				})
			})
		}()
		<-done
	}
	return nil
}

//go:noinline
func burn(duration time.Duration) (sum uint64) {
	for start := time.Now(); time.Since(start) < duration; {
		// So many that hardly a sample shows the look at the clock.
		for i := range uint64(200_000) {
			sum += i * i
		}
	}
	return sum
}

//go:noinline
func query(duration time.Duration) (sum uint64) {
	for start := time.Now(); time.Since(start) < duration; {
		for i := range uint64(200_000) {
			sum ^= i * 7
		}
	}
	return sum
}

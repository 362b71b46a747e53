// Command workload runs a bit of everything that shows in a Go execution trace, and records itself.
//
//	workload -out FILE [-mode mix|memory|pingpong] [-for 300ms] [-profile] [-flight]
//
// mix: every way for a goroutine to start, wait, yield and end, system calls, stops of the world, garbage collection,
// user tasks, regions and logs. memory: garbage collections whose phases outlast short generations. pingpong: two
// goroutines that hand one value to each other as fast as they can, for measurements.
//
// It builds with every toolchain from Go 1.22 on; what came later is in files with build constraints.
package main

import (
	"errors"
	"flag"
	"io"
	"log"
	"os"
	"runtime/pprof"
	"runtime/trace"
	"time"
)

func main() {
	out := flag.String("out", "", "file to write the trace to")
	mode := flag.String("mode", "mix", "mix, memory or pingpong")
	length := flag.Duration("for", 300*time.Millisecond, "how long to run")
	profile := flag.Bool("profile", false, "record CPU samples too")
	flight := flag.Bool("flight", false, "write what a flight recorder holds at the end (Go 1.25 and later)")
	flag.Parse()
	if err := run(*out, *mode, *length, *profile, *flight); err != nil {
		log.Fatal(err)
	}
}

func run(out, mode string, length time.Duration, profile, flight bool) error {
	modes := map[string]func(time.Duration) error{"mix": mix, "memory": memory, "pingpong": pingPong}
	work := modes[mode]
	if work == nil {
		return errors.New("unknown mode " + mode)
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	if mode == "memory" {
		fillHeap()
	}
	if profile {
		if err := pprof.StartCPUProfile(io.Discard); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	begin := recordAll
	if flight {
		begin = recordLatest
	}
	release := startEarly()
	end, err := begin(file)
	if err != nil {
		return err
	}
	close(release)
	err = work(length)
	return errors.Join(err, end(), file.Close())
}

// recordAll writes the whole trace to a file; the function that it returns ends it.
func recordAll(file *os.File) (end func() error, err error) {
	err = trace.Start(file)
	return func() error { trace.Stop(); return nil }, err
}

// startEarly starts what waits since before the trace: goroutines that never go on, one that does once it is released,
// and a task that ends in the trace without having begun in it.
func startEarly() (release chan struct{}) {
	release = make(chan struct{})
	forever := make(chan struct{})
	go waitUntilClosed(forever)
	go waitForever()
	go waitUntilClosed(release)
	go endTaskOf(release)
	time.Sleep(time.Millisecond)
	return release
}

//go:noinline
func waitUntilClosed(c chan struct{}) { <-c }

//go:noinline
func waitForever() { select {} }

// Command generator runs a workload and records its execution trace until the trace has a given size.
//
//	generator -mode service|pingpong -bytes N -out FILE [-deadline 20m]
//
// service: an HTTP service and its clients. pingpong: goroutines that hand values over as fast as they can; nothing makes
// more trace a second. How long a generation of the trace is says GODEBUG=traceadvanceperiod=NANOSECONDS.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"runtime/pprof"
	"runtime/trace"
	"time"
)

func main() {
	log.SetFlags(0)
	mode := flag.String("mode", "", "service or pingpong")
	size := flag.Int64("bytes", 0, "size of the trace, at which the workload stops")
	out := flag.String("out", "", "file to write the trace to")
	deadline := flag.Duration("deadline", 20*time.Minute, "how long to wait for the trace to have its size")
	flag.Parse()
	if err := record(*mode, *out, *size, *deadline); err != nil {
		log.Fatal(err)
	}
}

func record(mode, out string, size int64, deadline time.Duration) error {
	workload, ok := map[string]func(stop <-chan struct{}) error{"service": service, "pingpong": pingpong}[mode]
	if !ok {
		return fmt.Errorf("unknown mode %q, expected service or pingpong", mode)
	}
	if size <= 0 {
		return errors.New("-bytes must be positive")
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	defer file.Close()
	// A running CPU profile adds its samples to the trace.
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	meter := &meter{to: file, left: size, full: make(chan struct{})}
	if err := trace.Start(meter); err != nil {
		return err
	}
	timer := time.NewTimer(deadline)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- workload(stop) }()
	select {
	case <-meter.full:
	case <-timer.C:
		err = fmt.Errorf("the trace has less than %d bytes after %v", size, deadline)
	case err = <-done:
		return fmt.Errorf("the workload ended early: %w", err)
	}
	close(stop)
	err = errors.Join(err, <-done)
	trace.Stop()
	return errors.Join(err, meter.err, file.Close())
}

// meter passes bytes on and closes full when it has seen enough of them. The runtime writes from one goroutine.
type meter struct {
	to   io.Writer
	left int64
	full chan struct{}
	err  error
}

func (m *meter) Write(bytes []byte) (int, error) {
	n, err := m.to.Write(bytes)
	m.err = errors.Join(m.err, err)
	before := m.left
	m.left -= int64(n)
	if before > 0 && m.left <= 0 {
		close(m.full)
	}
	return n, err
}

//go:build go1.25

package main

import (
	"os"
	"runtime/trace"
	"time"
)

// recordLatest keeps the latest generations; the function that it returns writes them. Generations before are
// forgotten, so that the file begins with any number.
func recordLatest(file *os.File) (end func() error, err error) {
	recorder := trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: 100 * time.Millisecond, MaxBytes: 1 << 20})
	end = func() error {
		defer recorder.Stop()
		_, err := recorder.WriteTo(file)
		return err
	}
	return end, recorder.Start()
}

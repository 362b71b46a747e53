// Records the execution trace of `regions.trace`: a region whose name is the id of a span, and others.
package main

import (
	"context"
	"os"
	"runtime/trace"
	"time"
)

func main() {
	file, err := os.Create("regions.trace")
	if err != nil {
		panic(err)
	}
	if err := trace.Start(file); err != nil {
		panic(err)
	}
	ctx := context.Background()
	done := make(chan struct{})
	go func() {
		defer close(done)
		trace.WithRegion(ctx, "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", func() {
			trace.WithRegion(ctx, "load", func() { time.Sleep(time.Millisecond) })
		})
	}()
	<-done
	trace.WithRegion(ctx, "as long as the id of a span, but the text of others", func() {})
	trace.Stop()
	if err := file.Close(); err != nil {
		panic(err)
	}
}

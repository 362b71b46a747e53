package main

import (
	"context"
	"encoding/binary"
	"runtime/trace"
	"time"
)

// annotate makes a task with a child on another goroutine, nested regions, and logs of which one holds raw bytes.
func annotate(parent context.Context) error {
	ctx, task := trace.NewTask(parent, "request")
	trace.Log(ctx, "user", "alice")
	var id [8]byte
	binary.LittleEndian.PutUint64(id[:], 0xfedcba9876543210)
	trace.Log(ctx, "datadog.uint64_span_id", string(id[:]))
	trace.Log(context.Background(), "", "outside every task")
	done := make(chan struct{})
	trace.WithRegion(ctx, "outer", func() {
		trace.WithRegion(ctx, "inner", func() { spin(100 * time.Microsecond) })
		go func() {
			defer close(done)
			_, child := trace.NewTask(ctx, "child")
			time.Sleep(time.Millisecond)
			child.End()
			child.End()
			// Its goroutine ends before it does.
			trace.StartRegion(ctx, "left open")
		}()
		<-done
	})
	// The task ends on another goroutine than it began.
	ended := make(chan struct{})
	go func() { task.End(); close(ended) }()
	<-ended
	time.Sleep(5 * time.Millisecond)
	return nil
}

// endTaskOf begins a task now and ends it when released.
func endTaskOf(release chan struct{}) {
	_, task := trace.NewTask(context.Background(), "began early")
	<-release
	task.End()
}

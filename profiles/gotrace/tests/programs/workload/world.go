package main

import (
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"time"
)

var dumpOnce sync.Once

// stopTheWorld does so for every reason that a program can give.
func stopTheWorld() error {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	runtime.Stack(make([]byte, 1<<16), true)
	if err := pprof.Lookup("goroutine").WriteTo(io.Discard, 0); err != nil {
		return err
	}
	procs := runtime.GOMAXPROCS(3)
	time.Sleep(2 * time.Millisecond)
	runtime.GOMAXPROCS(procs)
	runtime.GC()
	allThreadsSyscall()
	var err error
	dumpOnce.Do(func() { err = dumpHeap() })
	time.Sleep(30 * time.Millisecond)
	return err
}

func dumpHeap() error {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	debug.WriteHeapDump(null.Fd())
	return null.Close()
}

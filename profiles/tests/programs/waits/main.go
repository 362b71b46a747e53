// The C library resolves names, except where a function asks for Go's own resolver.
//
//go:debug netdns=cgo

// Command waits blocks a goroutine in each way that Spandrel tells apart, all at once, and records itself.
//
//	waits -out FILE [-for 100ms] [-early]
//
// Every way is a function; the tests find its wait by the function's name on the stack. With -early the waits begin
// before the recording does. Those that collect garbage come last, because they stop the others.
package main

import (
	"flag"
	"log"
	"os"
	"runtime/trace"
	"sync"
	"time"
)

// hold is how long each wait lasts, roughly.
var hold time.Duration

func main() {
	out := flag.String("out", "", "file to write the trace to")
	flag.DurationVar(&hold, "for", 100*time.Millisecond, "how long each wait lasts")
	early := flag.Bool("early", false, "block first, then begin to record")
	flag.Parse()
	file, err := os.Create(*out)
	check(err)
	if !*early {
		check(trace.Start(file))
	}
	var all sync.WaitGroup
	start(&all, syncWaits, channelWaits, libraryWaits, networkWaits, httpWaits, fileWaits, systemCalls, newerWaits, cWaits)
	if *early {
		time.Sleep(hold / 4)
		check(trace.Start(file))
	}
	all.Wait()
	start(&all, runtimeWaits)
	all.Wait()
	trace.Stop()
	check(file.Close())
}

func start(all *sync.WaitGroup, groups ...[]func()) {
	for _, group := range groups {
		for _, wait := range group {
			all.Add(1)
			go func() {
				defer all.Done()
				wait()
			}()
		}
	}
}

// large is more than fits into the buffers of a connection or a pipe.
var large [32 << 20]byte

// after runs an action when the wait has lasted long enough.
func after(action func()) { time.AfterFunc(hold, action) }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

// Command callbacks records itself while C code calls it: from threads that Go did not start, and from inside a call
// of its own.
//
//	callbacks -out FILE [-for 100ms]
//
// Needs a C compiler.
package main

// #cgo LDFLAGS: -pthread
// void call_from_threads(int threads, int calls);
// void call_and_sleep(int microseconds);
import "C"

import (
	"errors"
	"flag"
	"log"
	"os"
	"runtime"
	"runtime/trace"
	"time"
)

func main() {
	out := flag.String("out", "", "file to write the trace to")
	length := flag.Duration("for", 100*time.Millisecond, "how long to run")
	flag.Parse()
	if err := record(*out, *length); err != nil {
		log.Fatal(err)
	}
}

func record(out string, length time.Duration) error {
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := trace.Start(file); err != nil {
		return err
	}
	for end := time.Now().Add(length); time.Now().Before(end); {
		// Threads that end take their goroutine with them; the next ones may get their ids.
		C.call_from_threads(3, 5)
		C.call_and_sleep(15_000)
		garbage = make([]byte, 1<<16)
		runtime.GC()
	}
	trace.Stop()
	err = file.Close()
	if calls == 0 {
		err = errors.Join(err, errors.New("C did not call"))
	}
	return err
}

var (
	calls   int
	garbage []byte
)

//export called
func called(microseconds C.int) {
	calls++
	time.Sleep(time.Duration(microseconds) * time.Microsecond)
}

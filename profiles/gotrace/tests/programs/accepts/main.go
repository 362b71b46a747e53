// Command accepts reads execution traces with Go's own reader (golang.org/x/exp/trace) and prints one line per event, and
// one for the error that ends a trace:
//
//	== FILE
//	1000064 4000001 0 1 goroutine 1 Running->Waiting
//	1000128 -1 -1 -1 Sync
//	!! broken trace: failed to advance
//
// An event is its time, thread, proc and goroutine, -1 for none, and its kind, or the transition that it is.
//
//	accepts FILE...
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"golang.org/x/exp/trace"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	for _, path := range os.Args[1:] {
		fmt.Fprintln(out, "==", path)
		file, err := os.Open(path)
		if err != nil {
			log.Fatal(err)
		}
		if err := printEvents(out, file); err != nil {
			first, _, _ := strings.Cut(err.Error(), "\n")
			fmt.Fprintln(out, "!!", first)
		}
		file.Close()
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

func printEvents(out io.Writer, in io.Reader) error {
	reader, err := trace.NewReader(in)
	if err != nil {
		return err
	}
	for {
		ev, err := reader.ReadEvent()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(out, int64(ev.Time()), int64(ev.Thread()), int64(ev.Proc()), int64(ev.Goroutine()), what(ev))
	}
}

func what(ev trace.Event) string {
	if ev.Kind() != trace.EventStateTransition {
		return ev.Kind().String()
	}
	st := ev.StateTransition()
	if st.Resource.Kind == trace.ResourceProc {
		from, to := st.Proc()
		return fmt.Sprintf("proc %d %v->%v", int64(st.Resource.Proc()), from, to)
	}
	from, to := st.Goroutine()
	return fmt.Sprintf("goroutine %d %v->%v", int64(st.Resource.Goroutine()), from, to)
}

// Command reference reads an execution trace with Go's own reader (golang.org/x/exp/trace) and prints what gotrace's
// tests compare with.
//
//	reference steps FILE    every event in order, one a line: see step
//	reference totals FILE   what lasted, as JSON: see Totals
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"golang.org/x/exp/trace"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: reference steps|totals FILE")
	}
	out := bufio.NewWriter(os.Stdout)
	var err error
	switch os.Args[1] {
	case "steps":
		stacks := stackHashes{}
		err = forEachEvent(os.Args[2], func(ev trace.Event) error {
			_, err := fmt.Fprintln(out, step(ev, stacks))
			return err
		})
	case "totals":
		totals := newTotals()
		err = forEachEvent(os.Args[2], func(ev trace.Event) error { totals.add(ev); return nil })
		totals.finish()
		err = errors.Join(err, json.NewEncoder(out).Encode(totals))
	default:
		err = fmt.Errorf("unknown command %s", os.Args[1])
	}
	if err := errors.Join(err, out.Flush()); err != nil {
		log.Fatal(err)
	}
}

func forEachEvent(path string, do func(trace.Event) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	reader, err := trace.NewReader(file)
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
		if err := do(ev); err != nil {
			return err
		}
	}
}

// Command truth is a service whose requests carry what shall happen to them. It really does it, measures it with clocks
// of its own, and returns what it measured: the truth that Spandrel's attribution is compared with.
//
//	truth -out DIR       sends requests to a process of its own kind that serves them, and leaves in DIR
//	  truth.jsonl        what happened to each request, a line each; see [Truth]
//	  spans.json         the spans, one OTLP/JSON export request
//	  trace.out          an execution trace from before the first request to after the last
//
// The load generator and the server that delays network answers run in the first process, the service in the second:
// only the second is recorded, and only its GOMAXPROCS and collector are set.
package main

import (
	"flag"
	"log"
	"time"
)

// options are those of both processes.
type options struct {
	out      string
	requests int
	interval time.Duration
	seed     int64
	procs    int
	collect  bool
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("truth: ")
	var o options
	flag.StringVar(&o.out, "out", ".", "directory to write to")
	flag.IntVar(&o.requests, "requests", 250, "how many requests to send, at least")
	flag.DurationVar(&o.interval, "interval", 25*time.Millisecond, "mean time between requests")
	flag.Int64Var(&o.seed, "seed", 1, "seed of the schedule")
	flag.IntVar(&o.procs, "procs", 1, "GOMAXPROCS of the service")
	flag.BoolVar(&o.collect, "gc", true, "whether the service collects garbage: often, on a large heap")
	delaying := flag.String("serve", "", "be the service; the address is that of the delaying server")
	flag.Parse()
	run := func() error { return sendAll(o) }
	if *delaying != "" {
		run = func() error { return serve(o, *delaying) }
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

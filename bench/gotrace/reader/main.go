// Command reader is the peer of gotrace in its benchmark: Go's own reader of execution traces
// (golang.org/x/exp/trace). It does one stage on one file and prints what it measured of itself as JSON.
//
//	reader events|states FILE
package main

import (
	"bytes"
	"encoding/json"
	"log"
	"os"
	"time"

	"golang.org/x/exp/trace"
)

// stages read a trace to its end and tell what they found.
var stages = map[string]func(*trace.Reader) (map[string]int64, error){
	"events": events,
	"states": states,
}

// Measurement is what the benchmark reads.
type Measurement struct {
	WallNS        int64            `json:"wall_ns"`
	CPUNS         int64            `json:"cpu_ns"`
	PeakBytes     int64            `json:"peak_bytes"`
	FileBytesHeld int64            `json:"file_bytes_held"`
	Facts         map[string]int64 `json:"facts"`
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 || stages[os.Args[1]] == nil {
		log.Fatal("usage: reader events|states FILE")
	}
	measurement, err := measure(stages[os.Args[1]], os.Args[2])
	if err != nil {
		log.Fatalf("%s: %v", os.Args[2], err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(measurement); err != nil {
		log.Fatal(err)
	}
}

func measure(stage func(*trace.Reader) (map[string]int64, error), path string) (*Measurement, error) {
	file, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	cpuBefore, err := cpuTime()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	reader, err := trace.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	facts, err := stage(reader)
	if err != nil {
		return nil, err
	}
	wall := time.Since(begin)
	cpuAfter, err := cpuTime()
	if err != nil {
		return nil, err
	}
	peak, err := peakBytes()
	if err != nil {
		return nil, err
	}
	return &Measurement{
		WallNS: wall.Nanoseconds(),
		CPUNS:  (cpuAfter - cpuBefore).Nanoseconds(),
		// The reader takes a stream: that the whole file is in memory is the benchmark's doing.
		PeakBytes:     peak - int64(len(file)),
		FileBytesHeld: 0,
		Facts:         facts,
	}, nil
}

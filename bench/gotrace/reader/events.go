package main

import (
	"io"

	"golang.org/x/exp/trace"
)

// kinds is larger than any trace.EventKind.
const kinds = 32

// events folds kind, time and goroutine of each event into totals. Sync events are no events of the program and are
// left out. gotrace's stage of this name does the same.
func events(reader *trace.Reader) (map[string]int64, error) {
	var counts, goroutines [kinds]int64
	var times int64
	first := trace.Time(-1)
	for {
		ev, err := reader.ReadEvent()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		kind := ev.Kind()
		if kind == trace.EventSync {
			continue
		}
		if first < 0 {
			first = ev.Time()
		}
		counts[kind]++
		goroutines[kind] += int64(ev.Goroutine()) + 1
		times += int64(ev.Time() - first)
	}
	facts := map[string]int64{"time_sum_ns": times, "events": 0}
	for kind, count := range counts {
		if count == 0 {
			continue
		}
		name := trace.EventKind(kind).String()
		facts["events"] += count
		facts["events."+name] = count
		facts["goroutine_sum."+name] = goroutines[kind]
	}
	return facts, nil
}

package main

import (
	"io"

	"golang.org/x/exp/trace"
)

// goroutine holds how long a goroutine was in each state, and the state it is in.
type goroutine struct {
	totals [int(trace.GoSyscall) + 1]int64
	state  trace.GoState
	since  trace.Time
}

func (g *goroutine) enter(state trace.GoState, at trace.Time) {
	g.totals[g.state] += int64(at - g.since)
	g.state, g.since = state, at
}

// states sums up how long each goroutine was in each state. A state that held before a generation began is known from
// that generation's start.
func states(reader *trace.Reader) (map[string]int64, error) {
	goroutines := map[trace.GoID]*goroutine{}
	var generation, last trace.Time
	for {
		ev, err := reader.ReadEvent()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		last = ev.Time()
		switch ev.Kind() {
		case trace.EventSync:
			generation = last
			continue
		case trace.EventStateTransition:
		default:
			continue
		}
		transition := ev.StateTransition()
		if transition.Resource.Kind != trace.ResourceGoroutine {
			continue
		}
		id := transition.Resource.Goroutine()
		g := goroutines[id]
		if g == nil {
			g = &goroutine{since: last}
			goroutines[id] = g
		}
		from, to := transition.Goroutine()
		switch {
		case from == to:
		case from == trace.GoUndetermined:
			g.enter(to, generation)
		default:
			g.enter(to, last)
		}
	}
	var totals [int(trace.GoSyscall) + 1]int64
	for _, g := range goroutines {
		g.enter(trace.GoNotExist, last)
		for state, ns := range g.totals {
			totals[state] += ns
		}
	}
	facts := map[string]int64{
		"goroutines":  int64(len(goroutines)),
		"runnable_ns": totals[trace.GoRunnable],
		"running_ns":  totals[trace.GoRunning],
		"syscall_ns":  totals[trace.GoSyscall],
		"waiting_ns":  totals[trace.GoWaiting],
	}
	facts["states_ns"] = facts["runnable_ns"] + facts["running_ns"] + facts["syscall_ns"] + facts["waiting_ns"]
	return facts, nil
}

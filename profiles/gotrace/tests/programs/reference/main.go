// Command reference reads an execution trace with Go's own reader (golang.org/x/exp/trace) and prints, as JSON, what
// gotrace's tests compare with: counts of events, and how long each goroutine was in each state.
//
//	reference FILE
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"

	"golang.org/x/exp/trace"
)

// Report is what is compared.
type Report struct {
	FirstNS     int64                 `json:"first_ns"`
	EndNS       int64                 `json:"end_ns"`
	Kinds       map[string]int        `json:"kinds"`
	Transitions map[string]int        `json:"transitions"`
	Goroutines  map[string]*Goroutine `json:"goroutines"`
	Wakes       map[string]int        `json:"wakes"`
	Ranges      map[string]*Range     `json:"ranges"`
	Tasks       []Task                `json:"tasks"`
	Logs        []Log                 `json:"logs"`
	Snapshots   [][2]int64            `json:"snapshots"`
	openRanges  map[string]openRange
	syscalls    map[trace.ProcID]trace.GoID
}

// Goroutine holds nanoseconds by state; waits are "Waiting:" and the runtime's reason.
type Goroutine struct {
	Name    string           `json:"name"`
	Creator int64            `json:"creator"`
	States  map[string]int64 `json:"states"`
	state   string
	since   trace.Time
}

// Range is the number and total length of one kind of range.
type Range struct {
	Count   int   `json:"count"`
	TotalNS int64 `json:"total_ns"`
}

type openRange struct {
	name  string
	since trace.Time
}

// Task is a beginning or end of a user task.
type Task struct {
	ID        uint64 `json:"id"`
	Parent    uint64 `json:"parent"`
	Name      string `json:"name"`
	Begin     bool   `json:"begin"`
	TimeNS    int64  `json:"time_ns"`
	Goroutine int64  `json:"goroutine"`
}

// Log is a user log; the value is in hexadecimal.
type Log struct {
	Task      uint64 `json:"task"`
	Key       string `json:"key"`
	Value     string `json:"value"`
	TimeNS    int64  `json:"time_ns"`
	Goroutine int64  `json:"goroutine"`
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: reference FILE")
	}
	report, err := read(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		log.Fatal(err)
	}
}

func read(path string) (*Report, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	reader, err := trace.NewReader(file)
	if err != nil {
		return nil, err
	}
	r := &Report{
		Tasks:       []Task{},
		Logs:        []Log{},
		Snapshots:   [][2]int64{},
		Kinds:       map[string]int{},
		Transitions: map[string]int{},
		Goroutines:  map[string]*Goroutine{},
		Wakes:       map[string]int{},
		Ranges:      map[string]*Range{},
		openRanges:  map[string]openRange{},
		syscalls:    map[trace.ProcID]trace.GoID{},
	}
	var sync trace.Time
	for {
		ev, err := reader.ReadEvent()
		if err == io.EOF {
			r.finish()
			return r, nil
		}
		if err != nil {
			return nil, err
		}
		if r.FirstNS == 0 {
			r.FirstNS = int64(ev.Time())
		}
		r.EndNS = int64(ev.Time())
		if ev.Kind() == trace.EventSync {
			sync = ev.Time()
		}
		r.event(ev, sync)
	}
}

func (r *Report) event(ev trace.Event, sync trace.Time) {
	r.Kinds[ev.Kind().String()]++
	switch ev.Kind() {
	case trace.EventSync:
		if clock := ev.Sync().ClockSnapshot; clock != nil {
			r.Snapshots = append(r.Snapshots, [2]int64{int64(clock.Trace), clock.Wall.UnixNano()})
		}
	case trace.EventStateTransition:
		r.transition(ev, sync)
	case trace.EventRangeBegin, trace.EventRangeActive, trace.EventRangeEnd:
		r.rangeEvent(ev, sync)
	case trace.EventTaskBegin, trace.EventTaskEnd:
		t := ev.Task()
		begin := ev.Kind() == trace.EventTaskBegin
		task := Task{ID: uint64(t.ID), Parent: uint64(t.Parent), Name: t.Type, Begin: begin, TimeNS: int64(ev.Time())}
		task.Goroutine = int64(ev.Goroutine())
		r.Tasks = append(r.Tasks, task)
	case trace.EventLog:
		l := ev.Log()
		entry := Log{Task: uint64(l.Task), Key: l.Category, Value: hex.EncodeToString([]byte(l.Message))}
		entry.TimeNS, entry.Goroutine = int64(ev.Time()), int64(ev.Goroutine())
		r.Logs = append(r.Logs, entry)
	}
}

func (r *Report) transition(ev trace.Event, sync trace.Time) {
	st := ev.StateTransition()
	if st.Resource.Kind == trace.ResourceProc {
		from, to := st.Proc()
		r.Transitions[fmt.Sprintf("proc %s->%s", from, to)]++
		id := st.Resource.Proc()
		if from != to && to == trace.ProcIdle {
			if g, ok := r.syscalls[id]; ok {
				delete(r.syscalls, id)
				r.goroutine(g).enter("SyscallBlocked", ev.Time())
			}
		}
		return
	}
	id := st.Resource.Goroutine()
	from, to := st.Goroutine()
	r.Transitions[fmt.Sprintf("goroutine %s->%s", from, to)]++
	g := r.goroutine(id)
	if g.Name == "" {
		for frame := range st.Stack.Frames() {
			g.Name = frame.Func
		}
	}
	if from == to {
		return
	}
	if from == trace.GoWaiting {
		r.Wakes[fmt.Sprintf("%d by %d", id, ev.Goroutine())]++
	}
	if from == trace.GoSyscall {
		for p, syscalling := range r.syscalls {
			if syscalling == id {
				delete(r.syscalls, p)
			}
		}
	}
	at := ev.Time()
	if from == trace.GoUndetermined {
		at = sync
	}
	if from == trace.GoNotExist {
		g.Creator = int64(ev.Goroutine())
	}
	switch to {
	case trace.GoNotExist:
		g.enter("", at)
	case trace.GoWaiting:
		g.enter("Waiting:"+st.Reason, at)
	case trace.GoSyscall:
		if ev.Proc() == trace.NoProc {
			g.enter("SyscallBlocked", at)
			break
		}
		r.syscalls[ev.Proc()] = id
		g.enter("Syscall", at)
	default:
		g.enter(to.String(), at)
	}
}

func (r *Report) rangeEvent(ev trace.Event, sync trace.Time) {
	rg := ev.Range()
	key := fmt.Sprintf("%s %s", rg.Name, rg.Scope)
	switch ev.Kind() {
	case trace.EventRangeBegin:
		r.openRanges[key] = openRange{rg.Name, ev.Time()}
	case trace.EventRangeActive:
		if _, ok := r.openRanges[key]; !ok {
			r.openRanges[key] = openRange{rg.Name, sync}
		}
	case trace.EventRangeEnd:
		if open, ok := r.openRanges[key]; ok {
			r.addRange(open, ev.Time())
			delete(r.openRanges, key)
		}
	}
}

func (r *Report) addRange(open openRange, end trace.Time) {
	total := r.Ranges[open.name]
	if total == nil {
		total = &Range{}
		r.Ranges[open.name] = total
	}
	total.Count++
	total.TotalNS += int64(end - open.since)
}

func (r *Report) goroutine(id trace.GoID) *Goroutine {
	key := fmt.Sprint(int64(id))
	g := r.Goroutines[key]
	if g == nil {
		g = &Goroutine{States: map[string]int64{}, Creator: int64(trace.NoGoroutine)}
		r.Goroutines[key] = g
	}
	return g
}

func (g *Goroutine) enter(state string, at trace.Time) {
	if g.state != "" {
		g.States[g.state] += int64(at - g.since)
	}
	g.state, g.since = state, at
}

func (r *Report) finish() {
	for _, g := range r.Goroutines {
		g.enter("", trace.Time(r.EndNS))
	}
	for _, open := range r.openRanges {
		r.addRange(open, trace.Time(r.EndNS))
	}
}

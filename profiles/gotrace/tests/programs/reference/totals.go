package main

import (
	"encoding/hex"
	"fmt"

	"golang.org/x/exp/trace"
)

// Totals is what a trace holds of things that last, and how long they did.
type Totals struct {
	FirstNS    int64                 `json:"first_ns"`
	EndNS      int64                 `json:"end_ns"`
	Goroutines map[string]*Goroutine `json:"goroutines"`
	Wakes      map[string]int        `json:"wakes"`
	Ranges     map[string]*Range     `json:"ranges"`
	Tasks      []Task                `json:"tasks"`
	Regions    []Region              `json:"regions"`
	Logs       []Log                 `json:"logs"`
	Samples    []Sample              `json:"samples"`
	Snapshots  []Snapshot            `json:"snapshots"`

	sync        trace.Time
	openRanges  map[string]openRange
	openRegions map[trace.GoID][]Region
	syscalls    map[trace.ProcID]trace.GoID
	stacks      stackHashes
}

// Goroutine holds nanoseconds by state; waits are "Waiting:" and the runtime's reason. An id that was used again has
// the sum of its lives.
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

// Region is a user region. A missing time is one that the trace does not show.
type Region struct {
	Goroutine int64  `json:"goroutine"`
	Task      uint64 `json:"task"`
	Name      string `json:"name"`
	BeginNS   *int64 `json:"begin_ns"`
	EndNS     *int64 `json:"end_ns"`
	Stack     string `json:"stack"`
}

// Log is a user log; the value is in hexadecimal.
type Log struct {
	Task      uint64 `json:"task"`
	Key       string `json:"key"`
	Value     string `json:"value"`
	TimeNS    int64  `json:"time_ns"`
	Goroutine int64  `json:"goroutine"`
}

// Sample is a CPU profile sample.
type Sample struct {
	TimeNS    int64  `json:"time_ns"`
	Thread    int64  `json:"thread"`
	Proc      int64  `json:"proc"`
	Goroutine int64  `json:"goroutine"`
	Stack     string `json:"stack"`
}

// Snapshot is one reading of three clocks.
type Snapshot struct {
	TraceNS     int64  `json:"trace_ns"`
	MonotonicNS uint64 `json:"monotonic_ns"`
	UnixNS      int64  `json:"unix_ns"`
}

func newTotals() *Totals {
	return &Totals{
		Goroutines:  map[string]*Goroutine{},
		Wakes:       map[string]int{},
		Ranges:      map[string]*Range{},
		Tasks:       []Task{},
		Regions:     []Region{},
		Logs:        []Log{},
		Samples:     []Sample{},
		Snapshots:   []Snapshot{},
		openRanges:  map[string]openRange{},
		openRegions: map[trace.GoID][]Region{},
		syscalls:    map[trace.ProcID]trace.GoID{},
		stacks:      stackHashes{},
	}
}

func (t *Totals) add(ev trace.Event) {
	now, goroutine := int64(ev.Time()), int64(ev.Goroutine())
	if t.FirstNS == 0 {
		t.FirstNS = now
	}
	t.EndNS = now
	switch ev.Kind() {
	case trace.EventSync:
		t.addSync(ev)
	case trace.EventStateTransition:
		t.addTransition(ev)
	case trace.EventRangeBegin, trace.EventRangeActive, trace.EventRangeEnd:
		t.addRangeEvent(ev)
	case trace.EventTaskBegin, trace.EventTaskEnd:
		task := ev.Task()
		begin := ev.Kind() == trace.EventTaskBegin
		t.Tasks = append(t.Tasks, Task{uint64(task.ID), uint64(task.Parent), task.Type, begin, now, goroutine})
	case trace.EventRegionBegin, trace.EventRegionEnd:
		t.addRegionEvent(ev)
	case trace.EventLog:
		entry := ev.Log()
		value := hex.EncodeToString([]byte(entry.Message))
		t.Logs = append(t.Logs, Log{uint64(entry.Task), entry.Category, value, now, goroutine})
	case trace.EventStackSample:
		stack := t.stacks.hash(ev.Stack())
		t.Samples = append(t.Samples, Sample{now, int64(ev.Thread()), int64(ev.Proc()), goroutine, stack})
	}
}

func (t *Totals) addSync(ev trace.Event) {
	t.sync = ev.Time()
	if clock := ev.Sync().ClockSnapshot; clock != nil {
		t.Snapshots = append(t.Snapshots, Snapshot{int64(clock.Trace), clock.Mono, clock.Wall.UnixNano()})
	}
}

func (t *Totals) addTransition(ev trace.Event) {
	transition := ev.StateTransition()
	if transition.Resource.Kind == trace.ResourceProc {
		from, to := transition.Proc()
		id := transition.Resource.Proc()
		if from != to && to == trace.ProcIdle {
			if g, ok := t.syscalls[id]; ok {
				delete(t.syscalls, id)
				t.goroutine(g).enter("SyscallBlocked", ev.Time())
			}
		}
		return
	}
	id := transition.Resource.Goroutine()
	from, to := transition.Goroutine()
	g := t.goroutine(id)
	if g.Name == "" {
		for frame := range transition.Stack.Frames() {
			g.Name = frame.Func
		}
	}
	if from == to {
		return
	}
	if from == trace.GoWaiting {
		t.Wakes[fmt.Sprintf("%d by %d", id, ev.Goroutine())]++
	}
	if from == trace.GoSyscall {
		for p, syscalling := range t.syscalls {
			if syscalling == id {
				delete(t.syscalls, p)
			}
		}
	}
	at := ev.Time()
	if from == trace.GoUndetermined {
		at = t.sync
	}
	if from == trace.GoNotExist {
		g.Creator = int64(ev.Goroutine())
	}
	g.enter(t.stateName(ev, id, to, transition.Reason), at)
	if to == trace.GoNotExist {
		t.closeRegions(id)
	}
}

// stateName tells waits by reason, and system calls by whether a proc is held.
func (t *Totals) stateName(ev trace.Event, id trace.GoID, to trace.GoState, reason string) string {
	switch to {
	case trace.GoNotExist:
		return ""
	case trace.GoWaiting:
		return "Waiting:" + reason
	case trace.GoSyscall:
		if ev.Proc() == trace.NoProc {
			return "SyscallBlocked"
		}
		t.syscalls[ev.Proc()] = id
		return "Syscall"
	default:
		return to.String()
	}
}

func (t *Totals) addRangeEvent(ev trace.Event) {
	rg := ev.Range()
	key := fmt.Sprintf("%s %s", rg.Name, rg.Scope)
	switch ev.Kind() {
	case trace.EventRangeBegin:
		t.openRanges[key] = openRange{rg.Name, ev.Time()}
	case trace.EventRangeActive:
		if _, ok := t.openRanges[key]; !ok {
			t.openRanges[key] = openRange{rg.Name, t.sync}
		}
	case trace.EventRangeEnd:
		if open, ok := t.openRanges[key]; ok {
			t.closeRange(open, ev.Time())
			delete(t.openRanges, key)
		}
	}
}

func (t *Totals) closeRange(open openRange, end trace.Time) {
	total := t.Ranges[open.name]
	if total == nil {
		total = &Range{}
		t.Ranges[open.name] = total
	}
	total.Count++
	total.TotalNS += int64(end - open.since)
}

// addRegionEvent relies on Go's reader, which takes only the innermost region's end.
func (t *Totals) addRegionEvent(ev trace.Event) {
	now, id, event := int64(ev.Time()), ev.Goroutine(), ev.Region()
	open := t.openRegions[id]
	if ev.Kind() == trace.EventRegionBegin {
		stack := t.stacks.hash(ev.Stack())
		t.openRegions[id] = append(open, Region{int64(id), uint64(event.Task), event.Type, &now, nil, stack})
		return
	}
	region := Region{Goroutine: int64(id), Task: uint64(event.Task), Name: event.Type, Stack: "-"}
	if last := len(open) - 1; last >= 0 {
		region = open[last]
		t.openRegions[id] = open[:last]
	}
	region.EndNS = &now
	t.Regions = append(t.Regions, region)
}

func (t *Totals) closeRegions(id trace.GoID) {
	t.Regions = append(t.Regions, t.openRegions[id]...)
	delete(t.openRegions, id)
}

func (t *Totals) goroutine(id trace.GoID) *Goroutine {
	key := fmt.Sprint(int64(id))
	g := t.Goroutines[key]
	if g == nil {
		g = &Goroutine{States: map[string]int64{}, Creator: int64(trace.NoGoroutine)}
		t.Goroutines[key] = g
	}
	return g
}

func (g *Goroutine) enter(state string, at trace.Time) {
	if g.state != "" && at > g.since {
		g.States[g.state] += int64(at - g.since)
	}
	g.state, g.since = state, at
}

// finish ends everything at the end of the trace.
func (t *Totals) finish() {
	for _, g := range t.Goroutines {
		g.enter("", trace.Time(t.EndNS))
	}
	for _, open := range t.openRanges {
		t.closeRange(open, trace.Time(t.EndNS))
	}
	for id := range t.openRegions {
		t.closeRegions(id)
	}
}

package main

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"strings"

	"golang.org/x/exp/trace"
)

// step renders an event as words between spaces: its time, the thread, proc and goroutine that it came from (-1 for
// none), what it is about (g7, p1 or -), the stack where it happened, and what happened. Names from the trace are
// escaped, so that a word has no space.
func step(ev trace.Event, stacks stackHashes) string {
	subject, what := describe(ev, stacks)
	stack := stacks.hash(ev.Stack())
	return fmt.Sprintf("%d %d %d %d %s %s %s", ev.Time(), ev.Thread(), ev.Proc(), ev.Goroutine(), subject, stack, what)
}

func describe(ev trace.Event, stacks stackHashes) (subject, what string) {
	switch ev.Kind() {
	case trace.EventStateTransition:
		return describeTransition(ev, stacks)
	case trace.EventRangeBegin, trace.EventRangeActive, trace.EventRangeEnd:
		return describeRange(ev)
	case trace.EventSync:
		return "-", "sync"
	case trace.EventStackSample:
		return "-", "sample"
	case trace.EventMetric:
		metric := ev.Metric()
		return "-", fmt.Sprintf("metric %s %d", metric.Name, metric.Value.Uint64())
	case trace.EventLabel:
		label := ev.Label()
		return resource(label.Resource), "label " + escape(label.Label)
	case trace.EventTaskBegin:
		task := ev.Task()
		return "-", fmt.Sprintf("task-begin %d parent %d %s", task.ID, int64(task.Parent), escape(task.Type))
	case trace.EventTaskEnd:
		return "-", fmt.Sprintf("task-end %d", ev.Task().ID)
	case trace.EventRegionBegin:
		region := ev.Region()
		return "-", fmt.Sprintf("region-begin %d %s", region.Task, escape(region.Type))
	case trace.EventRegionEnd:
		region := ev.Region()
		return "-", fmt.Sprintf("region-end %d %s", region.Task, escape(region.Type))
	case trace.EventLog:
		entry := ev.Log()
		return "-", fmt.Sprintf("log %d %s %s", entry.Task, escape(entry.Category), escape(entry.Message))
	case trace.EventExperimental:
		event := ev.Experimental()
		what = event.Name
		for i := range event.Args {
			what += fmt.Sprintf(" %d", event.ArgValue(i).Uint64())
		}
		return "-", what
	default:
		return "-", "unexpected " + ev.Kind().String()
	}
}

// describeTransition names both states; what is not known before is "Undetermined", also where Go's reader takes a
// proc of a later generation for a new one.
func describeTransition(ev trace.Event, stacks stackHashes) (subject, what string) {
	transition := ev.StateTransition()
	subject = resource(transition.Resource)
	if transition.Resource.Kind == trace.ResourceProc {
		from, to := transition.Proc()
		if from == trace.ProcNotExist {
			from = trace.ProcUndetermined
		}
		return subject, fmt.Sprintf("%s->%s", from, to)
	}
	from, to := transition.Goroutine()
	what = fmt.Sprintf("%s->%s", from, to)
	if transition.Reason != "" {
		what += " " + escape(transition.Reason)
	}
	if from == trace.GoNotExist && to != trace.GoSyscall {
		what += " entry " + stacks.hash(transition.Stack)
	}
	return subject, what
}

// describeRange leaves out what an end repeats of its beginning.
func describeRange(ev trace.Event) (subject, what string) {
	rg := ev.Range()
	subject = resource(rg.Scope)
	switch ev.Kind() {
	case trace.EventRangeBegin:
		return subject, "begin " + escape(rg.Name)
	case trace.EventRangeActive:
		return subject, "active " + escape(rg.Name)
	}
	name, _, _ := strings.Cut(rg.Name, " (")
	what = "end " + escape(name)
	for _, attribute := range ev.RangeAttributes() {
		what += fmt.Sprintf(" %d", attribute.Value.Uint64())
	}
	return subject, what
}

func resource(id trace.ResourceID) string {
	switch id.Kind {
	case trace.ResourceGoroutine:
		return fmt.Sprintf("g%d", id.Goroutine())
	case trace.ResourceProc:
		return fmt.Sprintf("p%d", id.Proc())
	default:
		return "-"
	}
}

// escape makes one word of any bytes.
func escape(text string) string {
	var out strings.Builder
	for _, b := range []byte(text) {
		if b > ' ' && b <= '~' && b != '%' {
			out.WriteByte(b)
		} else {
			fmt.Fprintf(&out, "%%%02x", b)
		}
	}
	return out.String()
}

// stackHashes remembers the hashes of stacks.
type stackHashes map[trace.Stack]string

// hash is FNV-1a over the program counters, leaf first; "-" if there is no stack. Functions and lines are left out:
// Go's reader keeps one per program counter, although inlined functions share theirs.
func (known stackHashes) hash(stack trace.Stack) string {
	if stack == trace.NoStack {
		return "-"
	}
	if text, ok := known[stack]; ok {
		return text
	}
	sum := fnv.New64a()
	empty := true
	for frame := range stack.Frames() {
		empty = false
		sum.Write(binary.LittleEndian.AppendUint64(nil, frame.PC))
	}
	text := fmt.Sprintf("%x", sum.Sum64())
	if empty {
		text = "-"
	}
	known[stack] = text
	return text
}

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"
)

// wait is what is known of a goroutine that was blocked until another one released it: begin and resumed by its own
// clock, released by the other's, just before it did so.
type wait struct{ begin, released, resumed int64 }

// blocked is the time until the release. The other may have been first; then there was none.
func (w wait) blocked() stretch { return stretch{w.begin, max(w.begin, w.released)} }

// woken is the time from the release until it ran again.
func (w wait) woken() stretch {
	if w.released <= w.begin {
		return stretch{}
	}
	return stretch{w.released, w.resumed}
}

// selfParts are those of the self view: the wait, and the time in which the goroutine was ready to run.
func (s step) selfParts(state string, w wait) []part {
	return []part{
		{View: "self", Layer: s.Layer, Relation: "same", States: []string{state}, Ns: w.blocked().length()},
		s.wokenPart("self", w),
	}
}

// inSystemCall is a wait in the kernel, in both views: no goroutine wakes another there. It ends when the kernel has noticed
// the release and found a processor for the thread; when that is, no clock of the program tells.
func (w wait) inSystemCall() part {
	in := work{how: systemCall}
	state, plus := in.state()
	return part{States: []string{state}, Plus: plus, Ns: w.resumed - w.begin, LeastNs: w.blocked().length()}
}

func (s step) wokenPart(view string, w wait) part {
	states := []string{"runnable/unblocked", "gc_stw/unblocked"}
	return part{View: view, Layer: s.Layer, Relation: "same", States: states, Ns: w.woken().length()}
}

// behindHog is a wait for a hog that was started for it. A goroutine that was suspended for its stack to be scanned cannot
// be told from one that was woken, so that the latter is all that is looked for.
func (s step) behindHog(starting part, w wait) []part {
	starting.Plus = slices.DeleteFunc(starting.Plus, func(state string) bool { return strings.HasSuffix(state, "/unblocked") })
	parts := append(s.both(starting), s.selfParts("channel/recv", w)...)
	// Until it wakes the request, the hog is at work for it.
	woken := s.wokenPart("root", w)
	woken.UnwatchedNs = w.blocked().length()
	return append(parts, woken)
}

// helpers are goroutines that belong to no request: they were there before the first.
type helpers chan func()

func startHelpers(count int) helpers {
	jobs := make(helpers)
	for range count {
		go func() {
			for job := range jobs {
				job()
			}
		}()
	}
	return jobs
}

// behindHelper waits at a barrier that a helper opens when its work is done.
func (i *injector) behindHelper(s step) ([]part, error) {
	at, err := newBarrier(s.Cause)
	if err != nil {
		return nil, err
	}
	w := work{how: s.How, ns: s.Ns}
	var waited wait
	var running int64
	var failed error
	var measured atomic.Bool
	i.helpers <- func() {
		running = now()
		failed = i.work(&w)
		waited.released = now()
		measured.Store(true)
		at.open()
	}
	waited.begin = now()
	at.pass()
	waited.resumed = now()
	// A pipe does not order what was written before it was closed; this does.
	if !measured.Load() {
		return nil, fmt.Errorf("the barrier %s let through before it was open", s.Cause)
	}
	if failed != nil {
		return nil, failed
	}
	if at.state == "syscall" {
		return s.both(waited.inSystemCall()), nil
	}
	root := w.part()
	root.View, root.Layer, root.Relation = "root", s.Layer, "helper"
	blocked := waited.blocked()
	root.Ns, root.LeastNs = w.done.within(blocked).length(), w.leastWithin(blocked)
	// Until it runs, a helper that was given a job is ready to.
	if root.Ns += (stretch{waited.begin, running}).within(blocked).length(); s.How == systemCall {
		root.Plus = append(root.Plus, "runnable/unblocked", "gc_stw/unblocked")
	}
	root.UnwatchedNs = blocked.length() - root.Ns
	return append(s.selfParts(at.state, waited), root, s.wokenPart("root", waited)), nil
}

// behindChildren waits for three goroutines, which take a quarter, half and all of the time. Each has a span, which it
// starts itself; only that of the last was started for it.
func (i *injector) behindChildren(ctx context.Context, on goroutine, s step) ([]part, error) {
	const count = 3
	var group sync.WaitGroup
	var works [count]work
	var ends [count]int64
	var failed [count]error
	for n := range count {
		works[n] = work{how: s.How, ns: s.Ns >> (count - 1 - n)}
		start := func(by goroutine) (span trace.Span) {
			_, span = by.startInLayer(ctx, "child", s.Layer)
			return span
		}
		if n == count-1 {
			handedOver := start(on)
			start = func(goroutine) trace.Span { return handedOver }
		}
		group.Add(1)
		go func() {
			child := thisGoroutine(on.tracer)
			span := start(child)
			failed[n] = i.work(&works[n])
			child.end(span)
			ends[n] = now()
			group.Done()
		}()
	}
	waited := wait{begin: now()}
	group.Wait()
	waited.resumed = now()
	last := 0
	for n := range count {
		if failed[n] != nil {
			return nil, failed[n]
		}
		if ends[n] > ends[last] {
			last = n
		}
	}
	waited.released = ends[last]
	// The children work for the request, so that its own time between release and resumption cannot be told from theirs.
	root := works[last].part()
	root.View, root.Layer, root.Relation = "root", s.Layer, "same"
	blocked := waited.blocked()
	root.Ns = works[last].done.within(blocked).length()
	root.LeastNs = works[last].leastWithin(blocked)
	root.UnwatchedNs = blocked.length() - root.Ns
	root.Ns += waited.woken().length()
	return append(s.selfParts("waitgroup", waited), root), nil
}

// behindRequests contends with other requests for what only one may hold, and holds it while it works.
func (i *injector) behindRequests(ctx context.Context, on goroutine, operation string, s step) ([]part, error) {
	r, err := i.contended.get(s.Group, s.Cause, i.connections)
	if err != nil {
		return nil, err
	}
	waited := wait{begin: now()}
	connection := r.acquire()
	waited.resumed = now()
	held := hold{operation: operation, acquired: waited.resumed, work: work{how: s.How, ns: s.Ns}}
	parts := r.waitedFor(s, waited)

	holding := s
	holding.Layer += ".held"
	_, span := on.startInLayer(ctx, "hold", holding.Layer)
	if connection == nil {
		err = i.work(&held.work)
	} else {
		err = held.work.do(connection)
	}
	on.end(span)
	r.release(held, connection)
	return append(parts, holding.both(held.work.part())...), err
}

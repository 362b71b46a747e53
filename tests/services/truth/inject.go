package main

import (
	"context"
	"fmt"
	"time"
)

// injector makes happen what a vector asks for.
type injector struct {
	helpers     helpers
	connections *connections
	contended   contended
	heap        heap
}

// inject does one step of a request on its goroutine, and returns what each view must show of it. The operation is the
// request's, for those who have to wait for it.
func (i *injector) inject(ctx context.Context, on goroutine, operation string, s step) ([]part, error) {
	switch s.Where {
	case own:
		return i.alone(ctx, on, s)
	case helper:
		return i.behindHelper(s)
	case children:
		return i.behindChildren(ctx, on, s)
	case requests:
		return i.behindRequests(ctx, on, operation, s)
	}
	return nil, fmt.Errorf("a step has no place called %q", s.Where)
}

// alone does a step in which the request's goroutine waits for no other one, so that both views are the same.
func (i *injector) alone(ctx context.Context, on goroutine, s step) ([]part, error) {
	switch s.Cause {
	case "timer":
		w := work{how: sleeping}
		_, plus := w.state()
		took, least := waitForTimer(s.Ns)
		return s.both(part{States: []string{"sleep/timer"}, Plus: plus, Ns: took.length(), LeastNs: least}), nil
	case "yield":
		starting, yielding := yieldToHogs(s.Ns)
		yielded := part{States: []string{"runnable/yield", "gc_stw/yield"}, Ns: yielding.length()}
		return append(s.both(starting.part()), s.both(yielded)...), nil
	case "hog":
		starting, waited := wokenByHog(s.Ns)
		return s.behindHog(starting.part(), waited), nil
	case "gc":
		return i.heap.press(s), nil
	}
	w := work{how: how(s.Cause), ns: s.Ns}
	begin := time.Now()
	if err := i.work(&w); err != nil {
		return nil, err
	}
	if w.how == networking {
		on.hadSpan(ctx, "call", s.Layer, begin, time.Now())
	}
	return s.both(w.part()), nil
}

// part is the work as a part of the goroutine that did it.
func (w *work) part() part {
	state, plus := w.state()
	return part{States: []string{state}, Plus: plus, Ns: w.done.length(), LeastNs: w.least}
}

// work does work on a connection that nobody else uses.
func (i *injector) work(w *work) error {
	if w.how != networking {
		return w.do(nil)
	}
	connection, err := i.connections.get()
	if err != nil {
		return err
	}
	defer i.connections.put(connection)
	return w.do(connection)
}

// both is a part that is the same in both views.
func (s step) both(p part) []part {
	p.Layer, p.Relation = s.Layer, "same"
	self, root := p, p
	self.View, root.View = "self", "root"
	return []part{self, root}
}

// waitForTimer waits in a select that only a timer ends. Starting one may wake a thread, for which the kernel may take the
// processor away, so the clock is read after that.
func waitForTimer(ns int64) (took stretch, least int64) {
	started := now()
	timer, never := time.NewTimer(time.Duration(ns)), make(chan struct{})
	defer timer.Stop()
	took = timed(func() {
		select {
		case <-timer.C:
		case <-never:
		}
	})
	return took, max(0, ns-(took.begin-started))
}

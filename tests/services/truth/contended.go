package main

import (
	"fmt"
	"sync"
)

// contended holds what requests contend for, by group and cause.
type contended struct {
	mutex     sync.Mutex
	resources map[string]*exclusive
}

// exclusive is something that one request holds at a time. All of a group hold it in the same way.
type exclusive struct {
	state   string
	acquire func() *delayed
	put     func(*delayed)
	// history belongs to the holder.
	history []hold
}

// hold is how long a request had a resource.
type hold struct {
	// operation is that of the request.
	operation string
	acquired  int64
	work      work
	// released is when it was given back, just before.
	released int64
}

func (c *contended) get(group, cause string, from *connections) (*exclusive, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	key := group + " " + cause
	if r := c.resources[key]; r != nil {
		return r, nil
	}
	r, err := newExclusive(cause, from)
	if err != nil {
		return nil, err
	}
	if c.resources == nil {
		c.resources = make(map[string]*exclusive)
	}
	c.resources[key] = r
	return r, nil
}

func newExclusive(cause string, from *connections) (*exclusive, error) {
	locked := func(state string, lock sync.Locker) *exclusive {
		acquire := func() *delayed { lock.Lock(); return nil }
		return &exclusive{state: state, acquire: acquire, put: func(*delayed) { lock.Unlock() }}
	}
	switch cause {
	case "mutex":
		return locked("mutex", &sync.Mutex{}), nil
	case "rwmutex":
		return locked("rwmutex/write", &sync.RWMutex{}), nil
	case "pool":
		connection, err := from.get()
		if err != nil {
			return nil, err
		}
		pool := make(chan *delayed, 1)
		pool <- connection
		acquire := func() *delayed { return <-pool }
		return &exclusive{state: "channel/recv", acquire: acquire, put: func(c *delayed) { pool <- c }}, nil
	}
	return nil, fmt.Errorf("nothing to contend for is called %q", cause)
}

// release gives it back. It must be held.
func (r *exclusive) release(held hold, connection *delayed) {
	r.history = append(r.history, hold{})
	held.released = now()
	r.history[len(r.history)-1] = held
	r.put(connection)
}

// waitedFor is what the views must show of a wait for those who held it before, one after the other. It must be held.
func (r *exclusive) waitedFor(s step, w wait) []part {
	if len(r.history) > 0 {
		w.released = r.history[len(r.history)-1].released
	}
	blocked := w.blocked()
	parts := append(s.selfParts(r.state, w), s.wokenPart("root", w))
	for n, held := range r.history {
		// Who waits in line is released, and not running at once.
		waking, turn := stretch{}, stretch{blocked.begin, held.released}
		if n > 0 {
			waking = stretch{r.history[n-1].released, held.acquired}
			turn.begin = waking.begin
		}
		if turn = turn.within(blocked); turn.length() == 0 {
			continue
		}
		p := held.culprit(s.Layer)
		p.Ns = held.work.done.within(blocked).length() + waking.within(blocked).length()
		p.LeastNs = held.work.leastWithin(blocked)
		p.UnwatchedNs = turn.length() - p.Ns
		parts = append(parts, p)
	}
	return parts
}

// culprit is the part of those who wait for it in a layer.
func (h *hold) culprit(layer string) part {
	state, _ := h.work.state()
	p := part{View: "root", Layer: layer, Relation: "interference", States: []string{state}, CulpritOperation: h.operation}
	p.Plus = []string{"runnable", "gc_stw"}
	switch h.work.how {
	case computing:
		p.Plus = append(p.Plus, "gc_assist", "gc_sweep", "gc_other")
	case networking:
		p.Plus = append(p.Plus, "syscall")
	}
	return p
}

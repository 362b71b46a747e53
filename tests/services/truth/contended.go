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
	acquired int64
	work     work
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

// waitedFor is what the views must show of a wait for those who held it before. It must be held.
func (r *exclusive) waitedFor(s step, w wait) []part {
	if len(r.history) > 0 {
		w.released = r.history[len(r.history)-1].released
	}
	blocked := w.blocked()
	culprit := work{how: s.How}
	state, _ := culprit.state()
	root := part{View: "root", Layer: s.Layer, Relation: "interference", States: []string{state}}
	// One who waits in line is released, and not running at once.
	root.Plus = []string{"runnable", "gc_stw"}
	switch s.How {
	case computing:
		root.Plus = append(root.Plus, "gc_assist", "gc_sweep", "gc_other")
	case networking:
		root.Plus = append(root.Plus, "syscall")
	}
	for n, before := range r.history {
		root.Ns += before.work.done.within(blocked).length()
		root.LeastNs += before.work.leastWithin(blocked)
		if n > 0 {
			root.Ns += stretch{r.history[n-1].released, before.acquired}.within(blocked).length()
		}
	}
	root.UnwatchedNs = blocked.length() - root.Ns
	return append(s.selfParts(r.state, w), root, s.wokenPart("root", w))
}

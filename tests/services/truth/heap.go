package main

import "runtime/debug"

const (
	// archiveSize makes the live heap large and full of pointers, so that a collection has much to mark.
	archiveSize = 150_000
	// gcPercent leaves little room between live heap and goal, so that allocation must help to mark.
	gcPercent = 4
	// slowAllocation is longer than any that only allocates.
	slowAllocation = 20_000
)

type entry struct {
	next, other *entry
	words       [2]*int
}

// item is large for what it costs to make: the bytes it takes decide how much marking its maker is charged with.
type item struct {
	next  *item
	about *entry
	links [54]*int
}

type heap struct{ archive []*entry }

// startHeap makes collections frequent and long, or ends them.
func startHeap(collect bool) heap {
	if !collect {
		debug.SetGCPercent(-1)
		return heap{}
	}
	debug.SetGCPercent(gcPercent)
	archive := make([]*entry, archiveSize)
	for i := range archive {
		word := i
		archive[i] = &entry{words: [2]*int{&word, &word}}
	}
	const stride = 7919 // Links jump through memory, as those of a long-lived heap do.
	for i, e := range archive {
		e.next = archive[(i+stride)%archiveSize]
		e.other = archive[(i*stride+1)%archiveSize]
	}
	return heap{archive}
}

// press allocates until the time is over. Clocks see which allocations were slow. Most of their time goes into helping the
// collector; sweeping that is quick, and the allocation itself, are on the wrong side, so this truth is approximate.
func (h *heap) press(s step) []part {
	var head *item
	slow := int64(0)
	begin := now()
	for n, last := 0, begin; last-begin < s.Ns; n++ {
		head = &item{next: head, about: h.archive[n%archiveSize]}
		this := now()
		if this-last > slowAllocation {
			slow += this - last
		}
		last = this
	}
	length := 0
	for i := head; i != nil; i = i.next {
		length++
	}
	total := now() - begin
	collecting := part{
		States:      []string{"gc_assist", "gc_sweep", "gc_other", "gc_stw"},
		Plus:        []string{"runnable"},
		Ns:          slow,
		LeastNs:     slow,
		Approximate: true,
	}
	allocating := part{States: []string{"running"}, Ns: total - slow, Approximate: true}
	return append(s.both(collecting), s.both(allocating)...)
}

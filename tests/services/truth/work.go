package main

import (
	"fmt"
	"syscall"
	"time"
)

// work is one way to spend time on one goroutine, and what was measured of it by that goroutine.
type work struct {
	how  how
	ns   int64
	done stretch
	// least is the part of it that was certainly spent so: what was asked of a timer, what the server measured, the time
	// in which the clock was read without a gap.
	least int64
}

// do spends the time. A connection is needed for network only.
func (w *work) do(connection *delayed) error {
	var err error
	switch w.how {
	case computing:
		w.done, w.least = compute(w.ns, never)
	case sleeping:
		w.least = w.ns
		w.done = timed(func() { time.Sleep(time.Duration(w.ns)) })
	case networking:
		w.done, w.least, err = connection.wait(w.ns)
	case systemCall:
		w.least = w.ns
		w.done = timed(func() { err = sleepInKernel(w.ns) })
	default:
		err = fmt.Errorf("no way to spend time is called %q", w.how)
	}
	return err
}

// state is the cell's, and what the clocks around the work cannot tell from it: a goroutine whose wait or system call has
// ended is not running at once, a read asks the kernel before and after it waits, and one that computes may be taken off
// its processor, also to have its stack scanned, or as soon as it returns from a system call.
func (w *work) state() (state string, plus []string) {
	switch w.how {
	case computing:
		return "running", []string{
			"runnable/preempted", "runnable/unblocked", "gc_stw/preempted", "gc_stw/unblocked", "gc_assist", "gc_sweep", "gc_other",
		}
	case systemCall:
		return "syscall", []string{
			"runnable/syscall_exit", "gc_stw/syscall_exit", "runnable/preempted", "gc_stw/preempted",
		}
	case networking:
		return "network", []string{
			"syscall/net_read", "syscall/net_read_without_p", "runnable/syscall_exit", "gc_stw/syscall_exit",
			"runnable/unblocked", "gc_stw/unblocked",
		}
	default:
		return string(w.how), []string{"runnable/unblocked", "gc_stw/unblocked"}
	}
}

// leastWithin is the least of the work that was done within a time.
func (w *work) leastWithin(other stretch) int64 {
	outside := w.done.length() - w.done.within(other).length()
	return max(0, w.least-outside)
}

func timed(do func()) stretch {
	begin := now()
	do()
	return stretch{begin, now()}
}

// gap is longer than a reading of the clock takes, unless something else had the processor.
const gap = 20_000

// compute reads the clock, until it has done so for long enough without a gap, or something is so.
func compute(ns int64, until func() bool) (took stretch, busy int64) {
	took.begin = now()
	for took.end = took.begin; busy < ns && !until(); {
		read := now()
		if read-took.end < gap {
			busy += read - took.end
		}
		took.end = read
	}
	return took, busy
}

// sleepInKernel keeps its thread, as a call that cannot be polled does.
func sleepInKernel(ns int64) error {
	rest := syscall.NsecToTimespec(ns)
	for {
		if err := syscall.Nanosleep(&rest, &rest); err != syscall.EINTR {
			return err
		}
	}
}

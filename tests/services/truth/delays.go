package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// kernelDelays are those of the threads of a process.
type kernelDelays struct{ process int }

// total is how long all threads that live have been ready to run without a processor, in nanoseconds; 0 where the kernel
// does not tell. A delay counts when it is over.
func (k kernelDelays) total() int64 {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", k.process))
	if err != nil {
		return 0
	}
	total := int64(0)
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // It has ended.
		}
		var running, waiting int64
		if _, err := fmt.Sscan(string(text), &running, &waiting); err == nil {
			total += waiting
		}
	}
	return total
}

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// mapFile maps a file into memory outside the Go heap, all pages present: neither the disk nor the file's length can
// then influence the garbage collector or the clock.
func mapFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	status, err := file.Stat()
	if err != nil {
		return nil, err
	}
	const flags = syscall.MAP_PRIVATE | syscall.MAP_POPULATE
	return syscall.Mmap(int(file.Fd()), 0, int(status.Size()), syscall.PROT_READ, flags)
}

// cpuTime is how long this process has run, on all its threads.
func cpuTime() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, err
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

// peakBytes is the most memory that this process has held. ru_maxrss would not do: it starts with that of the process
// that started this one.
func peakBytes() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib << 10, nil
		}
	}
	return 0, errors.New("no VmHWM in /proc/self/status")
}

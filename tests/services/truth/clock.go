package main

import "time"

var epoch = time.Now()

// now is the monotonic clock, in nanoseconds.
func now() int64 { return int64(time.Since(epoch)) }

// stretch is the time from begin to end.
type stretch struct{ begin, end int64 }

func (s stretch) length() int64 { return max(0, s.end-s.begin) }

func (s stretch) within(other stretch) stretch {
	return stretch{max(s.begin, other.begin), min(s.end, other.end)}
}

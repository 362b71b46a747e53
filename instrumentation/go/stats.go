package spandrel

import "sync/atomic"

// Stats counts what a [Recorder] has done since it started.
type Stats struct {
	// Requested counts the slow spans and the calls of [Recorder.Snapshot].
	Requested uint64
	// Joined counts those of them that shared a snapshot which another had asked for.
	Joined uint64
	// Sent counts the snapshots that Spandrel has accepted.
	Sent uint64
	// SentBytes is their size, compressed.
	SentBytes uint64
	// Failed counts the snapshots that were not taken or not accepted.
	Failed uint64
}

type counters struct {
	requested, joined, sent, sentBytes, failed atomic.Uint64
}

// Stats returns the counters, for metrics of the service's own.
func (r *Recorder) Stats() Stats {
	return Stats{
		Requested: r.counters.requested.Load(),
		Joined:    r.counters.joined.Load(),
		Sent:      r.counters.sent.Load(),
		SentBytes: r.counters.sentBytes.Load(),
		Failed:    r.counters.failed.Load(),
	}
}

func (c *counters) count(sentBytes int, err error) {
	if err != nil {
		c.failed.Add(1)
		return
	}
	c.sent.Add(1)
	c.sentBytes.Add(uint64(sentBytes))
}

// Package schedule says which request is due when: a base mix all the time, and a phase of its own for each slow
// operation, so that one injected cause does not drown the others.
//
//	time     0 ------------------------------> duration
//	base     catalog, products, checkout, jobs
//	phases   |search ....|shipping ....|receipt ....|   (.... = quiet tail, in which queues drain)
package schedule

import (
	"slices"
	"time"
)

// A phase sends its requests in the first activeShare of activeParts equal parts of its slot.
const (
	activeParts = 10
	activeShare = 7
)

// Stream is one operation at a fixed rate.
type Stream struct {
	// Operation is the method and route, as the server's span is named.
	Operation string
	// Path is what is requested, if it differs from the route.
	Path string
	// PerSecond is the rate of arrivals; it does not depend on how fast answers come.
	PerSecond int
	// Burst is how many requests each arrival brings; 0 means 1.
	Burst int
}

// Phase is a slow operation, with the holders that make it wait.
type Phase struct {
	Streams []Stream
}

// Base is sent all the time.
func Base() []Stream {
	return []Stream{
		{Operation: "GET /catalog", PerSecond: 20},
		{Operation: "GET /products/{id}", Path: "/products/7", PerSecond: 10},
		{Operation: "POST /checkout", Path: "/checkout?product=11", PerSecond: 5},
		{Operation: "POST /jobs", PerSecond: 5},
	}
}

// Phases returns one phase per injected cause, in the order in which they run.
func Phases() []Phase {
	return []Phase{
		{Streams: []Stream{{Operation: "GET /search", Path: "/search?q=product", PerSecond: 40}}},
		{Streams: []Stream{{Operation: "GET /shipping", PerSecond: 40}}},
		{Streams: []Stream{{Operation: "GET /receipt", PerSecond: 40}}},
		{Streams: []Stream{{Operation: "GET /invoices", PerSecond: 40}, {Operation: "POST /ledger/close", PerSecond: 16}}},
		{Streams: []Stream{{Operation: "POST /reservations", PerSecond: 40}, {Operation: "POST /stock/audit", PerSecond: 22}}},
		{Streams: []Stream{{Operation: "GET /recommendations", PerSecond: 10, Burst: 8}}},
		{Streams: []Stream{{Operation: "POST /thumbnails", PerSecond: 10, Burst: 8}}},
		{Streams: []Stream{{Operation: "GET /feed", PerSecond: 14}}},
		{Streams: []Stream{{Operation: "GET /quote", PerSecond: 40}, {Operation: "POST /reindex", PerSecond: 4}}},
	}
}

// Due is one request and when to send it, counted from the start.
type Due struct {
	At     time.Duration
	Stream Stream
}

// Plan lists every request of a run of the given duration in order of time: the base mix, and the phases one after another.
func Plan(duration time.Duration, base []Stream, phases []Phase) []Due {
	var plan []Due
	for _, stream := range base {
		plan = appendStream(plan, stream, 0, duration)
	}
	for i, phase := range phases {
		start := duration * time.Duration(i) / time.Duration(len(phases))
		slot := duration / time.Duration(len(phases))
		for _, stream := range phase.Streams {
			plan = appendStream(plan, stream, start, start+slot*activeShare/activeParts)
		}
	}
	slices.SortStableFunc(plan, func(a, b Due) int { return int(a.At - b.At) })
	return plan
}

func appendStream(plan []Due, stream Stream, start, end time.Duration) []Due {
	every := time.Second / time.Duration(stream.PerSecond)
	for at := start; at < end; at += every {
		for range max(1, stream.Burst) {
			plan = append(plan, Due{At: at, Stream: stream})
		}
	}
	return plan
}

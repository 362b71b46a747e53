package main

// vectorHeader is the header in which a request carries its vector, a JSON array of steps.
const vectorHeader = "Inject"

// step is one thing that shall happen to a request.
type step struct {
	// Layer of the cells that must show it: that of the step's own span. No two steps of a request share one, and
	// the layer "handler" means that the step has no span of its own.
	Layer string `json:"layer"`
	// Cause is what the request's goroutine does or waits at; see [injector.inject].
	Cause string `json:"cause"`
	// Where is who keeps it waiting.
	Where where `json:"where"`
	// How is what that one does meanwhile.
	How how `json:"how,omitempty"`
	// Ns is how long it shall take.
	Ns int64 `json:"ns"`
	// Group names the lock or pool that a few requests contend for.
	Group string `json:"group,omitempty"`
}

type where string

const (
	own      where = "own"      // nobody: it happens on the request's own goroutine
	helper   where = "helper"   // a goroutine that belongs to no request
	children where = "children" // goroutines that the request starts
	requests where = "requests" // other requests
)

// how is a way to spend time on one goroutine, alone.
type how string

const (
	computing   how = "cpu"
	sleeping    how = "sleep"
	networking  how = "network"
	systemCall  how = "syscall"
	handlerName     = "handler"
)

// Truth is what happened to one request.
type Truth struct {
	TraceID   string `json:"trace_id"`
	SpanID    string `json:"span_id"`
	Operation string `json:"operation"`
	Steps     []done `json:"steps"`
	// KernelDelayNs is how long threads of the service were ready to run and had no processor while the request was
	// served, by the kernel's account. Between two readings of a clock, that is time that no clock explains.
	KernelDelayNs int64 `json:"kernel_delay_ns"`
}

// done is a step, and what was measured of it.
type done struct {
	step
	Parts []part `json:"parts"`
	// UnwatchedNs is the time of the step, its span included, in which no clock was watching: any state of the layer may
	// have that much more. It is small, unless the collector or the kernel takes its turn just there.
	UnwatchedNs int64 `json:"unwatched_ns"`
}

// part is time that a view of the request must show in certain cells. The cells of two parts never overlap.
type part struct {
	// View is "self" or "root".
	View     string `json:"view"`
	Layer    string `json:"layer"`
	Relation string `json:"relation"`
	// States name the cause: `state`, or `state/sub_state`. Of another request, the state of its goroutine.
	States []string `json:"states"`
	// Plus are states that the clocks cannot tell from the cause. They count toward the time and do not name the cause.
	Plus []string `json:"plus,omitempty"`
	// Ns is the measured time.
	Ns int64 `json:"ns"`
	// LeastNs is the time that the states alone must show, without those of Plus.
	LeastNs int64 `json:"least_ns,omitempty"`
	// UnwatchedNs is time in which the goroutine was blocked, and whoever it waited for was not watching a clock: the cells
	// may have that much more.
	UnwatchedNs int64 `json:"unwatched_ns,omitempty"`
	// CulpritOperation is that of the request that held what this one waited for.
	CulpritOperation string `json:"culprit_operation,omitempty"`
	// Approximate says that the clocks bound the time badly. The cause must still be right.
	Approximate bool `json:"approximate,omitempty"`
}

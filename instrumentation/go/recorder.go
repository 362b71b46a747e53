package spandrel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"runtime/trace"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// ErrShutdown is what a [Recorder] that was shut down answers.
var ErrShutdown = errors.New("spandrel: the recorder was shut down")

// ErrNoSpan is the answer to a snapshot before the first span: the process is named by the resource of its spans.
var ErrNoSpan = errors.New("spandrel: no span has started yet, give the recorder to the tracer provider with sdktrace.WithSpanProcessor")

// A Recorder keeps the last seconds of the execution trace in memory and sends them to Spandrel when a span was slow, or
// when [Recorder.Snapshot] is called. It is a span processor: give it to [sdktrace.WithSpanProcessor], from where it
// learns about spans, the name of the process, and when to shut down.
//
// At most one snapshot is taken or sent at a time, on a goroutine of its own. Meanwhile all further wishes are one wish.
// What goes wrong there is told to
// [go.opentelemetry.io/otel.Handle].
type Recorder struct {
	config   RecorderConfig
	endpoint *url.URL
	flight   flightRecorder
	process  atomic.Pointer[processName]
	counters counters

	// alive ends when Shutdown must not wait any longer.
	alive  context.Context
	giveUp context.CancelFunc

	wake    chan struct{} // capacity 1: there is a wish
	closing chan struct{} // closed with closed
	stopped chan struct{} // closed when the worker has ended

	mutex   sync.Mutex
	closed  bool
	next    *wish // not begun
	current *wish // being taken or sent
}

// flightRecorder is the part of [trace.FlightRecorder] that a [Recorder] uses. Tests on a clock of their own have another.
type flightRecorder interface {
	Start() error
	Stop()
	io.WriterTo
}

// processName is the value of the resource header, or why there is none.
type processName struct {
	header string
	err    error
}

// StartRecorder starts recording. From here on an execution trace is being recorded all the time, which costs CPU with
// every event of the scheduler; see the README for figures.
//
// It fails if a setting makes no sense, or if the process has another flight recorder: the runtime allows one.
func StartRecorder(config RecorderConfig) (*Recorder, error) {
	config, endpoint, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	flight := trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: config.Window, MaxBytes: uint64(config.MaxBytes)})
	return startRecorder(config, endpoint, flight)
}

func startRecorder(config RecorderConfig, endpoint *url.URL, flight flightRecorder) (*Recorder, error) {
	if err := flight.Start(); err != nil {
		return nil, fmt.Errorf("spandrel: starting the flight recorder, of which a process has one: %w", err)
	}
	alive, giveUp := context.WithCancel(context.Background())
	r := &Recorder{
		config:   config,
		endpoint: endpoint,
		flight:   flight,
		alive:    alive,
		giveUp:   giveUp,
		wake:     make(chan struct{}, 1),
		closing:  make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	go r.work()
	return r, nil
}

// Snapshot sends what the runtime did during the last seconds, and returns when Spandrel has accepted it. It waits for a
// snapshot under way, and for MinInterval to pass; callers that wait for the same snapshot share it.
//
// When ctx ends first, Snapshot returns; the snapshot is sent nevertheless.
func (r *Recorder) Snapshot(ctx context.Context) error {
	if r.process.Load() == nil {
		return ErrNoSpan
	}
	wish := r.ask(false)
	if wish == nil {
		return ErrShutdown
	}
	return wish.wait(ctx)
}

// OnStart implements [sdktrace.SpanProcessor].
func (r *Recorder) OnStart(_ context.Context, span sdktrace.ReadWriteSpan) {
	r.learn(span.Resource())
}

// learn names the process, once.
func (r *Recorder) learn(process *resource.Resource) {
	if r.process.Load() == nil {
		header, err := processHeader(process)
		r.process.CompareAndSwap(nil, &processName{header, err})
	}
}

// OnEnd implements [sdktrace.SpanProcessor]. It asks for a snapshot if the span was slow, and does not wait for it.
func (r *Recorder) OnEnd(span sdktrace.ReadOnlySpan) {
	if r.isSlow(span) {
		r.learn(span.Resource())
		r.ask(true)
	}
}

func (r *Recorder) isSlow(span sdktrace.ReadOnlySpan) bool {
	limit, named := r.config.SlowAfterByName[span.Name()]
	if !named {
		if parent := span.Parent(); parent.IsValid() && !parent.IsRemote() {
			return false
		}
		limit = r.config.SlowAfter
	}
	// Spans that are not sampled are not exported: there would be nothing to explain.
	return limit > 0 && span.EndTime().Sub(span.StartTime()) >= limit && span.SpanContext().IsSampled()
}

// ForceFlush implements [sdktrace.SpanProcessor]. It waits until the snapshots asked for so far have been sent.
func (r *Recorder) ForceFlush(ctx context.Context) error {
	r.mutex.Lock()
	last := r.next
	if last == nil {
		last = r.current
	}
	r.mutex.Unlock()
	if last == nil {
		return nil
	}
	return last.wait(ctx)
}

// Shutdown implements [sdktrace.SpanProcessor]. It takes and sends the snapshot that was asked for last, if it has not
// begun, at once, then stops recording. When ctx ends first, what is being sent is given up.
func (r *Recorder) Shutdown(ctx context.Context) error {
	r.mutex.Lock()
	if !r.closed {
		r.closed = true
		close(r.closing)
	}
	r.mutex.Unlock()
	select {
	case <-r.stopped:
		return nil
	case <-ctx.Done():
		r.giveUp()
		return fmt.Errorf("spandrel: shutting down the recorder: %w", ctx.Err())
	}
}

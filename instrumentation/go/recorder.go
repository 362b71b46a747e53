package spandrel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"runtime/trace"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	defaultEndpoint    = "http://localhost:4318"
	defaultPath        = "/v1/runtime-profiles"
	defaultWindow      = 10 * time.Second
	defaultMaxBytes    = 16 << 20
	defaultSlowAfter   = time.Second
	defaultPushTimeout = 30 * time.Second
	leastInterval      = time.Second
	idleConnTimeout    = 90 * time.Second
)

// ErrShutdown is what a [Recorder] that was shut down answers.
var ErrShutdown = errors.New("spandrel: the recorder was shut down")

// ErrNoSpan is the answer to a snapshot before the first span: the process is named by the resource of its spans.
var ErrNoSpan = errors.New("spandrel: no span has started yet, give the recorder to the tracer provider with sdktrace.WithSpanProcessor")

// RecorderConfig says what a [Recorder] keeps, which spans make it take a snapshot, and where it sends that. The zero value
// is a good start.
type RecorderConfig struct {
	// Endpoint is the URL of Spandrel's OTLP/HTTP port. Without a path it means /v1/runtime-profiles there. Default:
	// http://localhost:4318.
	Endpoint string

	// Client sends the snapshots; set it for TLS settings or authentication. It should not be instrumented. Default: a
	// client of its own.
	Client *http.Client

	// Window is how far back a snapshot reaches, if MaxBytes allows. Default: 10 s.
	Window time.Duration

	// MaxBytes is the memory that the runtime may use for the window, a hint to the runtime. When a busy process fills
	// it sooner, the window is shorter. A compressed snapshot larger than this is dropped. Default: 16 MiB.
	MaxBytes int

	// SlowAfter is the duration from which a sampled span without a parent in this process makes a snapshot. Negative:
	// none does. Default: 1 s.
	SlowAfter time.Duration

	// SlowAfterByName is the same for spans with these names, with a parent or without; 0 and less: never. Give 0 to
	// spans that are long by nature, such as those of streams.
	SlowAfterByName map[string]time.Duration

	// MinInterval is the time from one snapshot to the next, at least 1 s. What is asked for earlier is put off, not
	// dropped. Default: half of Window, so that a span of up to that length is still in the window when its turn comes.
	MinInterval time.Duration

	// PushTimeout is the time that sending a snapshot may take, with all attempts. Default: 30 s.
	PushTimeout time.Duration
}

// A Recorder keeps the last seconds of the execution trace in memory and sends them to Spandrel when a span was slow, or
// when [Recorder.Snapshot] is called. It is a span processor: give it to [sdktrace.WithSpanProcessor], from where it
// learns about spans, the name of the process, and when to shut down.
//
// At most one snapshot is taken or sent at a time, on a goroutine of its own. Meanwhile all further wishes are one wish.
// What goes wrong there is told to [otel.Handle].
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

// wish is a snapshot to be taken, and the way to its result.
type wish struct {
	bySpan bool          // nobody waits, so an error goes to otel.Handle; guarded by Recorder.mutex
	done   chan struct{} // closed when err is set
	err    error
}

// StartRecorder starts recording. From here on an execution trace is being recorded all the time, which costs the
// process some percent of CPU; see the README.
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

func (c RecorderConfig) withDefaults() (RecorderConfig, *url.URL, error) {
	setDefault(&c.Endpoint, defaultEndpoint)
	setDefault(&c.Window, defaultWindow)
	setDefault(&c.MaxBytes, defaultMaxBytes)
	setDefault(&c.SlowAfter, defaultSlowAfter)
	setDefault(&c.MinInterval, max(c.Window/2, leastInterval))
	setDefault(&c.PushTimeout, defaultPushTimeout)
	c.SlowAfterByName = maps.Clone(c.SlowAfterByName)
	if c.Client == nil {
		c.Client = &http.Client{Transport: &http.Transport{
			Proxy:           http.ProxyFromEnvironment,
			IdleConnTimeout: idleConnTimeout,
		}}
	}
	switch {
	case c.Window < 0:
		return c, nil, fmt.Errorf("spandrel: Window is %v, expected more than 0", c.Window)
	case c.MaxBytes < 0:
		return c, nil, fmt.Errorf("spandrel: MaxBytes is %d, expected more than 0", c.MaxBytes)
	case c.MinInterval < leastInterval:
		return c, nil, fmt.Errorf("spandrel: MinInterval is %v, expected at least %v", c.MinInterval, leastInterval)
	case c.PushTimeout < 0:
		return c, nil, fmt.Errorf("spandrel: PushTimeout is %v, expected more than 0", c.PushTimeout)
	}
	endpoint, err := parseEndpoint(c.Endpoint)
	return c, endpoint, err
}

func setDefault[T comparable](setting *T, value T) {
	var unset T
	if *setting == unset {
		*setting = value
	}
}

func parseEndpoint(text string) (*url.URL, error) {
	endpoint, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("spandrel: Endpoint: %w", err)
	}
	if (endpoint.Scheme != "http" && endpoint.Scheme != "https") || endpoint.Host == "" {
		return nil, fmt.Errorf("spandrel: Endpoint is %q, expected a URL such as %s", endpoint.Redacted(), defaultEndpoint)
	}
	if endpoint.Path == "" || endpoint.Path == "/" {
		endpoint.Path = defaultPath
	}
	return endpoint, nil
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

// ask returns the wish that has not begun, a new one if need be, or nil after Shutdown.
func (r *Recorder) ask(bySpan bool) *wish {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.closed {
		return nil
	}
	r.counters.requested.Add(1)
	if r.next == nil {
		r.next = &wish{done: make(chan struct{})}
		r.wake <- struct{}{} // Has room: the worker empties it before it takes a wish.
	} else {
		r.counters.joined.Add(1)
	}
	r.next.bySpan = r.next.bySpan || bySpan
	return r.next
}

func (w *wish) wait(ctx context.Context) error {
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return fmt.Errorf("spandrel: waiting for the snapshot: %w", ctx.Err())
	}
}

// work grants wishes, one after the other, until Shutdown.
func (r *Recorder) work() {
	defer close(r.stopped)
	defer r.giveUp()
	defer r.config.Client.CloseIdleConnections()
	defer r.flight.Stop()
	turn := time.Now()
	for {
		select {
		case <-r.wake:
		case <-r.closing:
		}
		r.waitUntil(turn)
		wish, closed := r.take()
		if wish != nil {
			turn = time.Now().Add(r.config.MinInterval)
			r.grant(wish)
		} else if closed {
			return
		}
	}
}

// waitUntil waits, but not after Shutdown.
func (r *Recorder) waitUntil(turn time.Time) {
	timer := time.NewTimer(time.Until(turn))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.closing:
	}
}

func (r *Recorder) take() (taken *wish, closed bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.current, r.next = r.next, nil
	return r.current, r.closed
}

func (r *Recorder) grant(wish *wish) {
	sentBytes, err := r.takeAndPush()
	r.counters.count(sentBytes, err)
	r.mutex.Lock()
	r.current = nil
	bySpan := wish.bySpan
	r.mutex.Unlock()
	wish.err = err
	close(wish.done)
	if err != nil && bySpan {
		otel.Handle(err)
	}
}

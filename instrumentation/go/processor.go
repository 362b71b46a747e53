package spandrel

import (
	"context"
	"runtime/trace"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

const (
	// logCategory and the form of the message are an agreement with Spandrel: trace id, then span id, as raw bytes.
	logCategory  = "otel"
	logSizeBytes = len(oteltrace.TraceID{}) + len(oteltrace.SpanID{})

	goroutineIDKey = attribute.Key("go.goroutine.id")
)

// An Option changes what [NewSpanProcessor] does.
type Option func(*spanProcessor)

// WithGoroutineID sets the attribute go.goroutine.id on every span, whether or not an execution trace is being recorded.
//
// It binds the spans that the log cannot: those that began before the recording did. Go has no cheap way to ask for the
// id of a goroutine, so this costs several microseconds a span, and more the deeper the stack; see the README for
// figures. Without it the attribute is not set, because the log already names the goroutine.
func WithGoroutineID() Option {
	return func(p *spanProcessor) { p.goroutineID = true }
}

// NewSpanProcessor returns a span processor that writes the trace id and the span id of every recorded span into the Go
// execution trace when the span starts, as a log of category "otel" on the goroutine that starts it. While no execution
// trace is being recorded it does nothing. It never blocks and holds nothing back, so its Shutdown and ForceFlush have
// nothing to do.
//
// Spans that the sampler drops do not reach span processors and are not logged.
func NewSpanProcessor(options ...Option) sdktrace.SpanProcessor {
	p := new(spanProcessor)
	for _, option := range options {
		option(p)
	}
	return p
}

type spanProcessor struct {
	goroutineID bool
}

// OnStart implements [sdktrace.SpanProcessor].
func (p *spanProcessor) OnStart(parent context.Context, span sdktrace.ReadWriteSpan) {
	if trace.IsEnabled() {
		logSpan(parent, span.SpanContext())
	}
	if p.goroutineID {
		if id, ok := goroutineID(); ok {
			span.SetAttributes(goroutineIDKey.Int64(id))
		}
	}
}

// logSpan allocates the message and nothing else. The log belongs to the user task of the parent context: the SDK begins
// the task of the span itself later.
func logSpan(parent context.Context, span oteltrace.SpanContext) {
	traceID, spanID := span.TraceID(), span.SpanID()
	var message [logSizeBytes]byte
	copy(message[:], traceID[:])
	copy(message[len(traceID):], spanID[:])
	trace.Log(parent, logCategory, string(message[:]))
}

// OnEnd implements [sdktrace.SpanProcessor].
func (*spanProcessor) OnEnd(sdktrace.ReadOnlySpan) {}

// Shutdown implements [sdktrace.SpanProcessor].
func (*spanProcessor) Shutdown(context.Context) error { return nil }

// ForceFlush implements [sdktrace.SpanProcessor].
func (*spanProcessor) ForceFlush(context.Context) error { return nil }

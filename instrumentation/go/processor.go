package spandrel

import (
	"context"
	"runtime/trace"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

const (
	// The categories and the form of the message are an agreement with Spandrel: trace id, then span id, as raw bytes.
	startCategory = "otel"
	endCategory   = "otel.end"
	logSizeBytes  = len(oteltrace.TraceID{}) + len(oteltrace.SpanID{})

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
// execution trace, as a log of category "otel" on the goroutine that starts the span and one of category "otel.end" on the
// goroutine that ends it, which may be another one. While no execution trace is being recorded it does nothing. It never blocks and holds nothing back, so its Shutdown and ForceFlush have
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
		logSpan(parent, startCategory, span.SpanContext())
	}
	if p.goroutineID {
		if id, ok := goroutineID(); ok {
			span.SetAttributes(goroutineIDKey.Int64(id))
		}
	}
}

// logSpan allocates the message and nothing else. At the start the log belongs to the user task of the parent context: the
// SDK begins the task of the span itself later. At the end it belongs to none: the SDK hands over no context.
func logSpan(ctx context.Context, category string, span oteltrace.SpanContext) {
	traceID, spanID := span.TraceID(), span.SpanID()
	var message [logSizeBytes]byte
	copy(message[:], traceID[:])
	copy(message[len(traceID):], spanID[:])
	trace.Log(ctx, category, string(message[:]))
}

// OnEnd implements [sdktrace.SpanProcessor].
func (*spanProcessor) OnEnd(span sdktrace.ReadOnlySpan) {
	if trace.IsEnabled() {
		logSpan(context.Background(), endCategory, span.SpanContext())
	}
}

// Shutdown implements [sdktrace.SpanProcessor].
func (*spanProcessor) Shutdown(context.Context) error { return nil }

// ForceFlush implements [sdktrace.SpanProcessor].
func (*spanProcessor) ForceFlush(context.Context) error { return nil }

package spandrel

import (
	"bytes"
	"context"
	"io"
	"runtime/trace"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// startSpan returns a recording span of a provider without processors.
func startSpan(tb testing.TB) sdktrace.ReadWriteSpan {
	tb.Helper()
	_, span := sdktrace.NewTracerProvider().Tracer("test").Start(context.Background(), "span")
	return span.(sdktrace.ReadWriteSpan)
}

func TestNothingIsAllocatedAndNoAttributeSetWhileTracingIsOff(t *testing.T) {
	processor, span, ctx := NewSpanProcessor(), startSpan(t), t.Context()
	logBoth := func() {
		processor.OnStart(ctx, span)
		processor.OnEnd(span)
	}
	if allocations := testing.AllocsPerRun(1000, logBoth); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
	if attributes := span.Attributes(); len(attributes) != 0 {
		t.Errorf("attributes %v", attributes)
	}
}

func TestOnlyTheMessageIsAllocatedWhileTracingIsOn(t *testing.T) {
	if err := trace.Start(io.Discard); err != nil {
		t.Fatal(err)
	}
	defer trace.Stop()
	processor, span, ctx := NewSpanProcessor(), startSpan(t), t.Context()
	if allocations := testing.AllocsPerRun(1000, func() { processor.OnStart(ctx, span) }); allocations != 1 {
		t.Errorf("%v allocations at the start", allocations)
	}
	if allocations := testing.AllocsPerRun(1000, func() { processor.OnEnd(span) }); allocations != 1 {
		t.Errorf("%v allocations", allocations)
	}
	if attributes := span.Attributes(); len(attributes) != 0 {
		t.Errorf("attributes %v", attributes)
	}
}

func TestTheLogHoldsTheRawIDs(t *testing.T) {
	var recording bytes.Buffer
	if err := trace.Start(&recording); err != nil {
		t.Fatal(err)
	}
	processor, span := NewSpanProcessor(), startSpan(t)
	processor.OnStart(t.Context(), span)
	trace.Stop()
	traceID, spanID := span.SpanContext().TraceID(), span.SpanContext().SpanID()
	if message := append(traceID[:], spanID[:]...); bytes.Count(recording.Bytes(), message) != 1 {
		t.Errorf("%x is not in the recording exactly once", message)
	}
}

func TestGoroutineIDsAreSetOnRequestWhetherTracingIsOnOrOff(t *testing.T) {
	processor := NewSpanProcessor(WithGoroutineID())
	ids := make(chan int64)
	for range 2 {
		go func() {
			span := startSpan(t)
			processor.OnStart(t.Context(), span)
			attributes := attribute.NewSet(span.Attributes()...)
			value, _ := attributes.Value("go.goroutine.id")
			ids <- value.AsInt64()
		}()
	}
	if first, second := <-ids, <-ids; first == second || first <= 0 || second <= 0 {
		t.Errorf("ids %d and %d", first, second)
	}
}

func TestTheProcessorHasNothingToFlush(t *testing.T) {
	processor := NewSpanProcessor()
	if err := processor.ForceFlush(t.Context()); err != nil {
		t.Error(err)
	}
	if err := processor.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

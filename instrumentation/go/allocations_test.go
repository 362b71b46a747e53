package spandrel_test

import (
	"context"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"spandrel.dev/spandrel"
)

// TestASpanCostsAFewMoreAllocationsThanWithoutTheHelper bounds what a service pays for each span while the flight recorder
// runs. The log itself is one message at either end; the rest of each bound is for the recorder's window and for what an
// attribute takes.
func TestASpanCostsAFewMoreAllocationsThanWithoutTheHelper(t *testing.T) {
	defer startFlightRecorder(t)()
	without := allocationsPerSpan(emptyProcessor{})
	for _, helper := range []struct {
		name      string
		processor sdktrace.SpanProcessor
		most      float64
	}{
		{"log", spandrel.NewSpanProcessor(), 4},
		{"goroutine-id", spandrel.NewSpanProcessor(spandrel.WithGoroutineID()), 8},
	} {
		added := allocationsPerSpan(helper.processor) - without
		t.Logf("%s: %v allocations a span in addition to %v", helper.name, added, without)
		if added < 2 || added > helper.most {
			t.Errorf("%s: %v allocations a span, expected 2 to %v", helper.name, added, helper.most)
		}
	}
}

func allocationsPerSpan(processor sdktrace.SpanProcessor) float64 {
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(processor))
	tracer, ctx := provider.Tracer("test"), context.Background()
	return testing.AllocsPerRun(2000, func() {
		_, span := tracer.Start(ctx, "span")
		span.End()
	})
}

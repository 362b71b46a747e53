package spandrel_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime/trace"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"spandrel.dev/spandrel"
)

// stackDepths are frames below the benchmark: a request behind a router and some middleware has some thirty.
var stackDepths = []struct {
	name   string
	frames int
}{
	{"shallow", 0},
	{"deep", 30},
}

var recordings = []struct {
	name  string
	start func(testing.TB) (stop func())
}{
	{"off", func(testing.TB) func() { return func() {} }},
	{"trace", startTrace},
	{"flight", startFlightRecorder},
}

func startTrace(tb testing.TB) func() {
	if err := trace.Start(io.Discard); err != nil {
		tb.Fatal(err)
	}
	return trace.Stop
}

func startFlightRecorder(tb testing.TB) func() {
	flight := trace.NewFlightRecorder(trace.FlightRecorderConfig{})
	if err := flight.Start(); err != nil {
		tb.Fatal(err)
	}
	return flight.Stop
}

// BenchmarkOnStart measures what the processor adds to the start of a span.
func BenchmarkOnStart(b *testing.B) {
	processor, ctx, span := spandrel.NewSpanProcessor(), context.Background(), endedSpan()
	benchmarkHook(b, func() { processor.OnStart(ctx, span) })
}

// BenchmarkOnEnd measures what it adds to the end of one.
func BenchmarkOnEnd(b *testing.B) {
	processor, span := spandrel.NewSpanProcessor(), endedSpan()
	benchmarkHook(b, func() { processor.OnEnd(span) })
}

// endedSpan returns a span of a provider without processors.
func endedSpan() sdktrace.ReadWriteSpan {
	_, span := sdktrace.NewTracerProvider().Tracer("bench").Start(context.Background(), "span")
	span.End()
	return span.(sdktrace.ReadWriteSpan)
}

func benchmarkHook(b *testing.B, hook func()) {
	for _, recording := range recordings {
		for _, depth := range stackDepths {
			b.Run("recording="+recording.name+"/stack="+depth.name, func(b *testing.B) {
				defer recording.start(b)()
				b.ReportAllocs()
				below(depth.frames, func() {
					for b.Loop() {
						hook()
					}
				})
			})
		}
	}
}

// emptyProcessor makes the SDK do what it does for any processor.
type emptyProcessor struct{}

func (emptyProcessor) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (emptyProcessor) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (emptyProcessor) Shutdown(context.Context) error                  { return nil }
func (emptyProcessor) ForceFlush(context.Context) error                { return nil }

// BenchmarkSpan measures a span of the SDK from start to end: with a processor that does nothing, and with ours.
func BenchmarkSpan(b *testing.B) {
	processors := []struct {
		name      string
		processor sdktrace.SpanProcessor
	}{
		{"empty", emptyProcessor{}},
		{"log", spandrel.NewSpanProcessor()},
		{"goroutine-id", spandrel.NewSpanProcessor(spandrel.WithGoroutineID())},
	}
	for _, recording := range recordings {
		for _, processor := range processors {
			for _, depth := range stackDepths {
				b.Run("recording="+recording.name+"/processor="+processor.name+"/stack="+depth.name, func(b *testing.B) {
					provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(processor.processor))
					defer recording.start(b)()
					below(depth.frames, func() { spans(b, provider) })
				})
			}
		}
	}
}

// BenchmarkSpanWithRecorder measures the same with both helpers, no span being slow.
func BenchmarkSpanWithRecorder(b *testing.B) {
	recorder, err := spandrel.StartRecorder(spandrel.RecorderConfig{})
	if err != nil {
		b.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(spandrel.NewSpanProcessor()),
		sdktrace.WithSpanProcessor(recorder),
	)
	defer provider.Shutdown(context.Background())
	spans(b, provider)
}

// BenchmarkRequest measures an HTTP request over loopback, with three spans in the service: what recording costs a program
// that does little else but talk.
func BenchmarkRequest(b *testing.B) {
	for _, recording := range recordings {
		b.Run("recording="+recording.name, func(b *testing.B) {
			provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spandrel.NewSpanProcessor()))
			server := httptest.NewServer(handler(provider.Tracer("bench")))
			defer server.Close()
			defer recording.start(b)()
			for b.Loop() {
				response, err := server.Client().Get(server.URL)
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
		})
	}
}

func handler(tracer oteltrace.Tracer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, request := tracer.Start(r.Context(), "request")
		defer request.End()
		for _, name := range []string{"authorize", "query"} {
			_, step := tracer.Start(ctx, name)
			step.End()
		}
		io.WriteString(w, "done")
	})
}

func spans(b *testing.B, provider *sdktrace.TracerProvider) {
	tracer, ctx := provider.Tracer("bench"), context.Background()
	b.ReportAllocs()
	for b.Loop() {
		_, span := tracer.Start(ctx, "span")
		span.End()
	}
}

func below(frames int, run func()) {
	if frames > 0 {
		below(frames-1, run)
		return
	}
	run()
}

// Package spandrel helps Spandrel to say why a span was slow. It is optional: Spandrel also understands services that know
// nothing of it.
//
// There are two helpers, each a span processor of the OpenTelemetry SDK and one line to install:
//
//	provider := sdktrace.NewTracerProvider(
//		sdktrace.WithBatcher(exporter),
//		sdktrace.WithSpanProcessor(spandrel.NewSpanProcessor()), // binds spans to goroutines
//		sdktrace.WithSpanProcessor(recorder),                    // sends what the runtime did around slow spans
//	)
//
// [NewSpanProcessor] writes the id of every span into the Go execution trace, so that Spandrel need not find out by times
// and names which goroutine a span ran on. While no execution trace is being recorded it does nothing.
//
// [StartRecorder] keeps the last seconds of the execution trace in memory, with runtime/trace's flight recorder, and
// pushes them to Spandrel when a span was slow. Without it Spandrel pulls execution traces from net/http/pprof, which
// records a few seconds now and then.
//
// The package starts one goroutine per [Recorder] and none otherwise.
package spandrel

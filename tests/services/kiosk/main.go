// Command kiosk is a service small enough for Go 1.22. It serves invented requests for a while, records itself from
// within, and writes what a real service would send:
//
//	spans.json    its spans, one OTLP/JSON export request
//	trace.out     an execution trace of the middle of its life
//	offset        how much the wall clock is ahead of CLOCK_MONOTONIC, in nanoseconds; what the trace does not say
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime/trace"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// unrecorded is how long requests are served before and after the recording.
const unrecorded = 500 * time.Millisecond

func main() {
	log.SetFlags(0)
	out := flag.String("out", ".", "directory to write to")
	recorded := flag.Duration("recorded", 3*time.Second, "length of the recording")
	flag.Parse()
	if err := run(*out, *recorded); err != nil {
		log.Fatal("kiosk: ", err)
	}
}

func run(out string, recorded time.Duration) error {
	spans := &requestFile{path: filepath.Join(out, "spans.json")}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSyncer(spans),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "kiosk"),
			attribute.String("service.instance.id", "kiosk-1"),
		)),
	)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := serve(ctx, provider.Tracer("kiosk"))
	time.Sleep(unrecorded)
	if err := record(filepath.Join(out, "trace.out"), recorded); err != nil {
		return err
	}
	offset, err := wallOffset()
	if err != nil {
		return err
	}
	time.Sleep(unrecorded)
	stop()
	<-served
	if err := provider.Shutdown(context.Background()); err != nil {
		return fmt.Errorf("writing the spans: %w", err)
	}
	return os.WriteFile(filepath.Join(out, "offset"), []byte(fmt.Sprintln(offset)), 0o644)
}

func record(path string, length time.Duration) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := trace.Start(file); err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	time.Sleep(length)
	trace.Stop()
	return file.Close()
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	runtimetrace "runtime/trace"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	// helperCount and connectionCount are more than are ever in use at once.
	helperCount     = 256
	connectionCount = 128
)

// serve is the service. It says its address on standard output, and ends when standard input does.
func serve(o options, delaying string) error {
	runtime.GOMAXPROCS(o.procs)
	i := &injector{helpers: startHelpers(helperCount), heap: startHeap(o.collect)}
	var err error
	if i.connections, err = openConnections(delaying, connectionCount); err != nil {
		return err
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSyncer(&requestFile{path: filepath.Join(o.out, "spans.json")}),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "truth"),
			attribute.String("service.instance.id", "truth-1"),
		)),
	)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	stop, err := record(filepath.Join(o.out, "trace.out"))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: &handler{i, provider.Tracer("truth")}}
	go server.Serve(listener)
	fmt.Println(listener.Addr())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	if err := server.Shutdown(context.Background()); err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	return provider.Shutdown(context.Background())
}

// record begins an execution trace, and returns how to end it.
func record(path string) (stop func() error, err error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := runtimetrace.Start(file); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return func() error {
		runtimetrace.Stop()
		return file.Close()
	}, nil
}

type handler struct {
	injector *injector
	tracer   trace.Tracer
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var steps []step
	if err := json.Unmarshal([]byte(r.Header.Get(vectorHeader)), &steps); err != nil {
		http.Error(w, fmt.Sprintf("header %s: %v", vectorHeader, err), http.StatusBadRequest)
		return
	}
	truth, err := h.handle(r, steps)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(truth)
}

// handle does all steps in a server span.
func (h *handler) handle(r *http.Request, steps []step) (truth Truth, err error) {
	on := thisGoroutine(h.tracer)
	begin := now()
	operation := r.Method + " " + r.URL.Path
	ctx, span := on.start(r.Context(), operation, trace.WithSpanKind(trace.SpanKindServer))
	defer on.end(span)
	truth = Truth{
		TraceID:   span.SpanContext().TraceID().String(),
		SpanID:    span.SpanContext().SpanID().String(),
		Operation: operation,
	}
	inSteps := int64(0)
	for _, s := range steps {
		step := done{step: s}
		took := timed(func() { step.Parts, err = h.inSpan(ctx, on, operation, s) })
		if err != nil {
			return Truth{}, fmt.Errorf("%s: %w", s.Cause, err)
		}
		step.UnwatchedNs = took.length() - step.watched()
		inSteps += took.length()
		truth.Steps = append(truth.Steps, step)
	}
	// A step without a span shares its layer with all that lies between the steps.
	for n := range truth.Steps {
		if step := &truth.Steps[n]; step.Layer == handlerName {
			step.UnwatchedNs += now() - begin - inSteps
		}
	}
	return truth, nil
}

// watched is the time of the request's own goroutine that the parts explain.
func (d *done) watched() int64 {
	total := int64(0)
	for _, p := range d.Parts {
		if p.View == "self" {
			total += p.Ns
		}
	}
	return total
}

func (h *handler) inSpan(ctx context.Context, on goroutine, operation string, s step) ([]part, error) {
	if s.Layer == handlerName {
		return h.injector.inject(ctx, on, operation, s)
	}
	ctx, span := on.startInLayer(ctx, strings.ReplaceAll(s.Cause, "_", " "), s.Layer)
	defer on.end(span)
	return h.injector.inject(ctx, on, operation, s)
}

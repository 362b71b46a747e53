package spandrel_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"spandrel.dev/spandrel"
)

func ExampleNewSpanProcessor() {
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(spandrel.NewSpanProcessor()),
		// and sdktrace.WithBatcher(exporter), as always
	)
	defer provider.Shutdown(context.Background())

	_, span := provider.Tracer("example").Start(context.Background(), "GET /cart")
	defer span.End()
	fmt.Println("the span is being recorded:", span.IsRecording())
	// Output: the span is being recorded: true
}

func ExampleStartRecorder() {
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("snapshot of", r.Header.Get("X-Spandrel-Resource"))
	}))
	defer collector.Close()

	recorder, err := spandrel.StartRecorder(spandrel.RecorderConfig{
		Endpoint:        collector.URL, // of Spandrel; default http://localhost:4318
		SlowAfter:       20 * time.Millisecond,
		SlowAfterByName: map[string]time.Duration{"GET /events": 0}, // a stream is long by nature
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "shop"))),
		sdktrace.WithSpanProcessor(spandrel.NewSpanProcessor()),
		sdktrace.WithSpanProcessor(recorder),
	)

	_, span := provider.Tracer("example").Start(context.Background(), "GET /cart")
	time.Sleep(30 * time.Millisecond)
	span.End()

	provider.Shutdown(context.Background()) // shuts the recorder down, too
	// Output: snapshot of service.name=shop
}

func ExampleRecorder_Snapshot() {
	recorder, err := spandrel.StartRecorder(spandrel.RecorderConfig{SlowAfter: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer recorder.Shutdown(context.Background())

	// An operator's endpoint: send what happened during the last seconds, now.
	http.HandleFunc("POST /debug/snapshot", func(w http.ResponseWriter, r *http.Request) {
		if err := recorder.Snapshot(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	})
}

// Package tests reads what the helpers write with Go's own reader of execution traces. It is a module of its own so that
// the helpers do not depend on that reader.
package tests

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	exptrace "golang.org/x/exp/trace"

	"spandrel.dev/spandrel"
)

// spanLog is a log of the start of a span, or of its end, in a recording.
type spanLog struct {
	message   string
	goroutine int64
	taskName  string // of the log's user task, if it has one
	at        time.Time
}

// readSpanLogs returns the logs of the starts of spans. It fails the test unless the whole recording can be read.
func readSpanLogs(t *testing.T, recording []byte) []spanLog {
	t.Helper()
	return readLogs(t, recording, "otel")
}

func readLogs(t *testing.T, recording []byte, category string) []spanLog {
	t.Helper()
	reader, err := exptrace.NewReader(bytes.NewReader(recording))
	if err != nil {
		t.Fatal(err)
	}
	var (
		logs  []spanLog
		clock *exptrace.ClockSnapshot
		tasks = make(map[exptrace.TaskID]string)
	)
	for {
		event, err := reader.ReadEvent()
		if errors.Is(err, io.EOF) {
			return logs
		}
		if err != nil {
			t.Fatal(err)
		}
		switch event.Kind() {
		case exptrace.EventSync:
			if snapshot := event.Sync().ClockSnapshot; snapshot != nil {
				clock = snapshot
			}
		case exptrace.EventTaskBegin:
			tasks[event.Task().ID] = event.Task().Type
		case exptrace.EventLog:
			if log := event.Log(); log.Category == category {
				logs = append(logs, spanLog{
					message:   log.Message,
					goroutine: int64(event.Goroutine()),
					taskName:  tasks[log.Task],
					at:        clock.Wall.Add(event.Time().Sub(clock.Trace)),
				})
			}
		}
	}
}

// logsByMessage fails the test if a message was logged twice.
func logsByMessage(t *testing.T, recording []byte, category string) map[string]spanLog {
	t.Helper()
	logs := make(map[string]spanLog)
	for _, log := range readLogs(t, recording, category) {
		if _, twice := logs[log.message]; twice {
			t.Errorf("%x was logged twice", log.message)
		}
		logs[log.message] = log
	}
	return logs
}

// messageOf is the agreement with Spandrel: 16 bytes of trace id, 8 bytes of span id.
func messageOf(span sdktrace.ReadOnlySpan) string {
	traceID, spanID := span.SpanContext().TraceID(), span.SpanContext().SpanID()
	return string(append(traceID[:], spanID[:]...))
}

// newProvider returns a provider of the real SDK with our processors, and the spans that it will have ended.
func newProvider(more ...sdktrace.SpanProcessor) (*sdktrace.TracerProvider, *tracetest.SpanRecorder) {
	ended := tracetest.NewSpanRecorder()
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "shop"),
			attribute.String("service.instance.id", "shop-1"),
		)),
		sdktrace.WithSpanProcessor(ended),
		sdktrace.WithSpanProcessor(spandrel.NewSpanProcessor()),
	}
	for _, processor := range more {
		options = append(options, sdktrace.WithSpanProcessor(processor))
	}
	return sdktrace.NewTracerProvider(options...), ended
}

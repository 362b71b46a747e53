package tests

import (
	"bytes"
	"context"
	"runtime"
	"runtime/trace"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"spandrel.dev/spandrel"
)

// clockError is how far the wall clock of a recording may be off: the runtime reads its two clocks one after the other, and
// may be interrupted in between.
const clockError = time.Millisecond

func TestEverySpanIsLoggedOnceOnItsGoroutineWhileItIsOpen(t *testing.T) {
	const goroutines, requests = 20, 50
	provider, ended := newProvider()
	tracer := provider.Tracer("test")

	var recording bytes.Buffer
	if err := trace.Start(&recording); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for range requests {
				ctx, request := startSpan(context.Background(), tracer, "request")
				_, query := startSpan(ctx, tracer, "query")
				runtime.Gosched()
				query.End()
				// A span that another goroutine starts is that one's.
				done := make(chan struct{})
				go func() {
					defer close(done)
					_, job := startSpan(ctx, tracer, "job")
					job.End()
				}()
				<-done
				request.End()
			}
		})
	}
	group.Wait()
	trace.Stop()

	spans, logs := ended.Ended(), logsByMessage(t, recording.Bytes(), "otel")
	if len(spans) != goroutines*requests*3 || len(logs) != len(spans) {
		t.Fatalf("%d spans, %d logs", len(spans), len(logs))
	}
	for _, span := range spans {
		log, found := logs[messageOf(span)]
		if !found {
			t.Fatalf("%s has no log", span.Name())
		}
		if want := trueGoroutine(t, span); log.goroutine != want {
			t.Errorf("%s was started by goroutine %d and logged by %d", span.Name(), want, log.goroutine)
		}
		if log.at.Before(span.StartTime().Add(-clockError)) || log.at.After(span.EndTime().Add(clockError)) {
			t.Errorf("%s lasted from %v to %v and was logged at %v", span.Name(), span.StartTime(), span.EndTime(), log.at)
		}
		if isRoot := span.Name() == "request"; !isRoot && log.taskName != "request" {
			t.Errorf("the log of %s is in task %q, expected the parent's", span.Name(), log.taskName)
		}
	}
}

// startSpan starts a span that knows from a source of its own which goroutine started it.
func startSpan(ctx context.Context, tracer oteltrace.Tracer, name string) (context.Context, oteltrace.Span) {
	return tracer.Start(ctx, name, oteltrace.WithAttributes(attribute.String("stack", stackHead())))
}

// stackHead is "goroutine" and the id of the calling one.
func stackHead() string {
	buffer := make([]byte, 64)
	first, _, _ := strings.Cut(string(buffer[:runtime.Stack(buffer, false)]), " [")
	return first
}

func trueGoroutine(t *testing.T, span sdktrace.ReadOnlySpan) int64 {
	t.Helper()
	attributes := attribute.NewSet(span.Attributes()...)
	first, _ := attributes.Value("stack")
	id, err := strconv.ParseInt(strings.TrimPrefix(first.AsString(), "goroutine "), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestTheEndIsLoggedOnceOnTheGoroutineThatEndsTheSpan(t *testing.T) {
	const spans = 100
	provider, ended := newProvider()
	tracer := provider.Tracer("test")
	var recording bytes.Buffer
	if err := trace.Start(&recording); err != nil {
		t.Fatal(err)
	}
	for range spans {
		_, span := startSpan(context.Background(), tracer, "handed over")
		done := make(chan struct{})
		go func() {
			defer close(done)
			span.SetAttributes(attribute.String("stack", stackHead()))
			span.End()
		}()
		<-done
	}
	trace.Stop()

	starts, ends := logsByMessage(t, recording.Bytes(), "otel"), logsByMessage(t, recording.Bytes(), "otel.end")
	if len(starts) != spans || len(ends) != spans {
		t.Fatalf("%d starts, %d ends", len(starts), len(ends))
	}
	for _, span := range ended.Ended() {
		start, end := starts[messageOf(span)], ends[messageOf(span)]
		if want := trueGoroutine(t, span); end.goroutine != want || start.goroutine == want {
			t.Errorf("ended by goroutine %d; start logged by %d, end by %d", want, start.goroutine, end.goroutine)
		}
		if end.at.Before(span.EndTime().Add(-clockError)) {
			t.Errorf("ended at %v and logged at %v", span.EndTime(), end.at)
		}
	}
}

func TestSpansBeforeAndAfterARecordingAreNotInIt(t *testing.T) {
	provider, ended := newProvider()
	tracer := provider.Tracer("test")
	span := func() {
		_, span := tracer.Start(context.Background(), "span")
		span.End()
	}
	var recording bytes.Buffer
	span()
	if err := trace.Start(&recording); err != nil {
		t.Fatal(err)
	}
	span()
	trace.Stop()
	span()

	logs := readSpanLogs(t, recording.Bytes())
	if len(logs) != 1 || logs[0].message != messageOf(ended.Ended()[1]) {
		t.Errorf("logs %v of spans %v", logs, ended.Ended())
	}
}

func TestTheAttributeNamesTheGoroutineOfTheLog(t *testing.T) {
	provider, ended := newProvider(spandrel.NewSpanProcessor(spandrel.WithGoroutineID()))
	var recording bytes.Buffer
	if err := trace.Start(&recording); err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(context.Background(), "span")
	span.End()
	trace.Stop()

	attributes := attribute.NewSet(ended.Ended()[0].Attributes()...)
	id, _ := attributes.Value("go.goroutine.id")
	logs := readSpanLogs(t, recording.Bytes())
	if len(logs) == 0 {
		t.Fatal("no log")
	}
	for _, log := range logs {
		if log.goroutine != id.AsInt64() {
			t.Errorf("the attribute says %d, the log %d", id.AsInt64(), log.goroutine)
		}
	}
}

func TestSpansThatTheSamplerDropsAreNotLogged(t *testing.T) {
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.NeverSample()),
		sdktrace.WithSpanProcessor(spandrel.NewSpanProcessor()),
	)
	var recording bytes.Buffer
	if err := trace.Start(&recording); err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(context.Background(), "span")
	span.End()
	trace.Stop()
	if logs := readSpanLogs(t, recording.Bytes()); len(logs) != 0 {
		t.Errorf("logs %v", logs)
	}
}

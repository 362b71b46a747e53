package main

import (
	"bytes"
	"context"
	"log"
	"runtime"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Attributes with the goroutines that really started and ended a span. Spandrel reads neither.
const (
	startedOn = "truth.goroutine"
	endedOn   = "truth.goroutine.end"
)

// goroutine starts and ends spans, which say so. It must not leave the goroutine that it is made on.
type goroutine struct {
	tracer trace.Tracer
	id     int64
}

// thisGoroutine asks for the id, which takes longer than it takes to start a span: it is done once.
func thisGoroutine(tracer trace.Tracer) goroutine {
	var stack [64]byte
	line := stack[:runtime.Stack(stack[:], false)]
	id, _, _ := bytes.Cut(bytes.TrimPrefix(line, []byte("goroutine ")), []byte(" "))
	number, err := strconv.ParseInt(string(id), 10, 64)
	if err != nil {
		log.Fatalf("no goroutine id in %q", line)
	}
	return goroutine{tracer, number}
}

func (g goroutine) start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	return g.tracer.Start(ctx, name, append(options, trace.WithAttributes(attribute.Int64(startedOn, g.id)))...)
}

// startInLayer starts a span whose time belongs to a layer.
func (g goroutine) startInLayer(ctx context.Context, name, layer string) (context.Context, trace.Span) {
	return g.start(ctx, name, trace.WithAttributes(attribute.String("attribution.layer", layer)))
}

// hadSpan makes a span when it is over, as instrumentation of databases does.
func (g goroutine) hadSpan(ctx context.Context, name, layer string, begin, end time.Time) {
	ofLayer := trace.WithAttributes(attribute.String("attribution.layer", layer))
	_, span := g.start(ctx, name, ofLayer, trace.WithTimestamp(begin))
	span.SetAttributes(attribute.Int64(endedOn, g.id))
	span.End(trace.WithTimestamp(end))
}

func (g goroutine) end(span trace.Span) {
	span.SetAttributes(attribute.Int64(endedOn, g.id))
	span.End()
}

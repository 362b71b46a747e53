package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"os"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"sync"
	"time"
)

// Kinds of spans, as OTLP numbers them.
const (
	server = 2
	client = 3
)

// service makes spans as an SDK would, and keeps them.
type service struct {
	labelsRoot bool
	mutex      sync.Mutex
	spans      []span
}

// The part of OTLP/JSON that the spans of this program need.
type (
	span struct {
		TraceID      string      `json:"traceId"`
		SpanID       string      `json:"spanId"`
		ParentSpanID string      `json:"parentSpanId,omitempty"`
		Name         string      `json:"name"`
		Kind         int         `json:"kind"`
		Start        string      `json:"startTimeUnixNano"`
		End          string      `json:"endTimeUnixNano"`
		Attributes   []attribute `json:"attributes"`
	}
	attribute struct {
		Key   string `json:"key"`
		Value value  `json:"value"`
	}
	value struct {
		String string `json:"stringValue"`
	}
	object map[string]any
)

type parentKey struct{}

// span runs work in a span, on whose goroutine it logs the ids, and under the labels of a profiler.
func (s *service) span(ctx context.Context, name string, kind int, tags map[string]string, work func(context.Context)) {
	made := span{SpanID: hex.EncodeToString(random(8)), Name: name, Kind: kind}
	labels := []string{}
	if parent, ok := ctx.Value(parentKey{}).(span); ok {
		made.TraceID, made.ParentSpanID = parent.TraceID, parent.SpanID
	} else {
		made.TraceID = hex.EncodeToString(random(16))
		labels = []string{"trace_id", made.TraceID, "span_id", made.SpanID}
	}
	if !s.labelsRoot {
		labels = []string{"trace_id", made.TraceID, "span_id", made.SpanID}
	}
	for key, text := range tags {
		made.Attributes = append(made.Attributes, attribute{key, value{text}})
	}
	start := time.Now()
	trace.Log(ctx, "span", made.TraceID+"-"+made.SpanID)
	pprof.Do(context.WithValue(ctx, parentKey{}, made), pprof.Labels(labels...), work)
	end := start.Add(time.Since(start))
	made.Start, made.End = strconv.FormatInt(start.UnixNano(), 10), strconv.FormatInt(end.UnixNano(), 10)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.spans = append(s.spans, made)
}

func random(bytes int) []byte {
	id := make([]byte, bytes)
	rand.Read(id) // Never fails.
	return id
}

// write writes all spans as one export request.
func (s *service) write(path string) error {
	resource := []attribute{
		{"service.name", value{"burner"}},
		{"service.instance.id", value{"burner-1"}},
	}
	request := object{"resourceSpans": []object{{
		"resource":   object{"attributes": resource},
		"scopeSpans": []object{{"spans": s.spans}},
	}}}
	text, err := json.Marshal(request)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

package main

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// requestFile is an exporter that writes all spans into one file when it is shut down.
type requestFile struct {
	path  string
	mutex sync.Mutex
	spans []sdktrace.ReadOnlySpan
}

// The part of OTLP/JSON that the spans of this program need.
type (
	request struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   attributes   `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	scopeSpans struct {
		Scope scope  `json:"scope"`
		Spans []span `json:"spans"`
	}
	scope struct {
		Name string `json:"name"`
	}
	span struct {
		TraceID      string `json:"traceId"`
		SpanID       string `json:"spanId"`
		ParentSpanID string `json:"parentSpanId,omitempty"`
		Name         string `json:"name"`
		Kind         int    `json:"kind"`
		Start        string `json:"startTimeUnixNano"`
		End          string `json:"endTimeUnixNano"`
		attributes
	}
	attributes struct {
		Attributes []keyValue `json:"attributes,omitempty"`
	}
	keyValue struct {
		Key   string            `json:"key"`
		Value map[string]string `json:"value"`
	}
)

func (f *requestFile) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.spans = append(f.spans, spans...)
	return nil
}

func (f *requestFile) Shutdown(context.Context) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	whole := resourceSpans{ScopeSpans: []scopeSpans{{Scope: scope{Name: "truth"}}}}
	for _, ended := range f.spans {
		whole.Resource = convertAttributes(ended.Resource().Attributes())
		whole.ScopeSpans[0].Spans = append(whole.ScopeSpans[0].Spans, convertSpan(ended))
	}
	text, err := json.Marshal(request{[]resourceSpans{whole}})
	if err != nil {
		return err
	}
	return os.WriteFile(f.path, text, 0o644)
}

func convertSpan(ended sdktrace.ReadOnlySpan) span {
	converted := span{
		TraceID:    ended.SpanContext().TraceID().String(),
		SpanID:     ended.SpanContext().SpanID().String(),
		Name:       ended.Name(),
		Kind:       int(ended.SpanKind()),
		Start:      strconv.FormatInt(ended.StartTime().UnixNano(), 10),
		End:        strconv.FormatInt(ended.EndTime().UnixNano(), 10),
		attributes: convertAttributes(ended.Attributes()),
	}
	if ended.Parent().IsValid() {
		converted.ParentSpanID = ended.Parent().SpanID().String()
	}
	return converted
}

func convertAttributes(from []attribute.KeyValue) attributes {
	var converted attributes
	for _, pair := range from {
		value := map[string]string{"stringValue": pair.Value.Emit()}
		converted.Attributes = append(converted.Attributes, keyValue{string(pair.Key), value})
	}
	return converted
}

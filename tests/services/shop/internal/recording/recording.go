// Package recording keeps what a service's telemetry looked like on the wire: OTLP requests as received and Go execution
// traces as fetched, each compressed in a file of its own, and a manifest that lists them in order of time.
//
//	manifest.json
//	otlp/0001.traces.pb.zst      one ExportTraceServiceRequest
//	otlp/0002.metrics.pb.zst     one ExportMetricsServiceRequest
//	profiles/0001.trace.zst      one execution trace
package recording

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Format names the layout of the directory and of the manifest.
const Format = "spandrel-recording/1"

// Kind says what a recorded item is.
type Kind string

// The kinds of items.
const (
	Traces         Kind = "otlp.traces"
	Metrics        Kind = "otlp.metrics"
	Logs           Kind = "otlp.logs"
	ExecutionTrace Kind = "go.execution_trace"
)

var suffixes = map[Kind]string{Traces: "traces.pb", Metrics: "metrics.pb", Logs: "logs.pb", ExecutionTrace: "trace"}

// Manifest describes a recording.
type Manifest struct {
	Format        string            `json:"format"`
	StartedUnixNs int64             `json:"started_unix_ns"`
	DurationNs    int64             `json:"duration_ns"`
	Command       []string          `json:"command"`
	GoVersion     string            `json:"go_version"`
	Platform      string            `json:"platform"`
	Modules       map[string]string `json:"modules"`
	Items         []Item            `json:"items"`
}

// Item is one file of a recording.
type Item struct {
	File           string `json:"file"`
	Kind           Kind   `json:"kind"`
	ReceivedUnixNs int64  `json:"received_unix_ns"`
	Bytes          int    `json:"bytes"`
	StoredBytes    int    `json:"stored_bytes"`
	// Spans is the number of spans in a traces request.
	Spans int `json:"spans,omitempty"`
	// Resource and Window belong to execution traces, which do not say themselves which process they come from.
	Resource map[string]any `json:"resource,omitempty"`
	Window   *Window        `json:"window,omitempty"`
}

// Window is the time between sending the request for an execution trace and receiving its last byte.
type Window struct {
	BeginUnixNs int64 `json:"begin_unix_ns"`
	EndUnixNs   int64 `json:"end_unix_ns"`
}

// Writer adds items to a recording. Safe for concurrent use.
type Writer struct {
	directory string
	encoder   *zstd.Encoder
	mutex     sync.Mutex
	numbers   map[string]int
	items     []Item
	stored    int
	limit     int
}

// Create makes the directory, which must not hold a recording yet. The stored files may take up to limit bytes.
func Create(directory string, limit int) (*Writer, error) {
	for _, folder := range []string{"otlp", "profiles"} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return nil, err
		}
		if err := os.Mkdir(filepath.Join(directory, folder), 0o755); err != nil {
			return nil, fmt.Errorf("%w (delete the old recording first)", err)
		}
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return nil, err
	}
	return &Writer{directory: directory, encoder: encoder, numbers: make(map[string]int), limit: limit}, nil
}

// Add stores data. The item's File, ReceivedUnixNs, Bytes and StoredBytes are filled in.
func (w *Writer) Add(item Item, data []byte) error {
	w.mutex.Lock() // Held throughout: the order of files is the order of arrival.
	defer w.mutex.Unlock()
	item.ReceivedUnixNs = time.Now().UnixNano()
	compressed := w.encoder.EncodeAll(data, nil)
	if w.stored+len(compressed) > w.limit {
		return fmt.Errorf("the recording would exceed %d bytes with %d bytes of %s", w.limit, len(compressed), item.Kind)
	}
	folder := "otlp"
	if item.Kind == ExecutionTrace {
		folder = "profiles"
	}
	w.numbers[folder]++
	item.File = fmt.Sprintf("%s/%04d.%s.zst", folder, w.numbers[folder], suffixes[item.Kind])
	item.Bytes = len(data)
	item.StoredBytes = len(compressed)
	if err := os.WriteFile(filepath.Join(w.directory, item.File), compressed, 0o644); err != nil {
		return err
	}
	w.stored += len(compressed)
	w.items = append(w.items, item)
	return nil
}

// Finish completes the manifest with the items and writes it.
func (w *Writer) Finish(manifest Manifest) error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	manifest.Format = Format
	manifest.Items = w.items
	text, err := json.MarshalIndent(manifest, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.directory, "manifest.json"), append(text, '\n'), 0o644)
}

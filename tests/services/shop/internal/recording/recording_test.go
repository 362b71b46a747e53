package recording

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	compressed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	data, err := decoder.DecodeAll(compressed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRequestsAreStoredAsSent(t *testing.T) {
	directory := t.TempDir()
	writer, err := Create(directory, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	receiver := NewReceiver(writer)
	go func() { _ = receiver.Serve(listener) }()
	defer receiver.Stop()
	connection, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()

	request := &coltrace.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{Name: "first"}, {Name: "second"}}}},
	}}}
	if _, err := coltrace.NewTraceServiceClient(connection).Export(context.Background(), request); err != nil {
		t.Fatal(err)
	}
	if err := writer.Finish(Manifest{Command: []string{"record"}}); err != nil {
		t.Fatal(err)
	}

	var manifest Manifest
	text, err := os.ReadFile(filepath.Join(directory, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest.Items) != 1 || manifest.Items[0].Kind != Traces || manifest.Items[0].Spans != 2 {
		t.Fatalf("items %+v, want one traces request with 2 spans", manifest.Items)
	}
	sent, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	stored := read(t, filepath.Join(directory, manifest.Items[0].File))
	if !bytes.Equal(stored, sent) || manifest.Items[0].Bytes != len(sent) {
		t.Errorf("stored %x, sent %x", stored, sent)
	}
}

func TestATraceIsStoredWithItsProcessAndWindow(t *testing.T) {
	directory := t.TempDir()
	writer, err := Create(directory, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.URL.String()))
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	resource := map[string]any{"process.pid": 42}
	if err := FetchTrace(t.Context(), writer, address, 5500*time.Millisecond, resource); err != nil {
		t.Fatal(err)
	}
	item := writer.items[0]
	if got := string(read(t, filepath.Join(directory, item.File))); got != "/debug/pprof/trace?seconds=5.5" {
		t.Errorf("stored %q", got)
	}
	if item.Resource["process.pid"] != 42 || item.Window.BeginUnixNs >= item.Window.EndUnixNs {
		t.Errorf("item %+v", item)
	}
}

func TestARecordingDoesNotGrowPastItsLimit(t *testing.T) {
	writer, err := Create(t.TempDir(), 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Add(Item{Kind: Logs}, []byte("more than ten bytes when compressed")); err == nil {
		t.Error("accepted an item above the limit")
	}
}

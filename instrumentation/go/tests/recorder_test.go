package tests

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime/trace"
	"strings"
	"sync"
	"testing"
	"time"

	"spandrel.dev/spandrel"
)

// collector keeps the uploads that it receives, as Spandrel takes them.
type collector struct {
	*httptest.Server
	mutex   sync.Mutex
	uploads []upload
}

type upload struct {
	path     string
	resource string
	trace    []byte
}

func newCollector(t *testing.T) *collector {
	c := new(collector)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := gzip.NewReader(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
			return
		}
		content, err := io.ReadAll(body)
		if err != nil {
			t.Error(err)
		}
		c.mutex.Lock()
		defer c.mutex.Unlock()
		c.uploads = append(c.uploads, upload{r.URL.Path, r.Header.Get("X-Spandrel-Resource"), content})
		io.WriteString(w, "{}")
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) received() []upload {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.uploads
}

func TestASlowSpanSendsARecordingThatHoldsIt(t *testing.T) {
	collector := newCollector(t)
	recorder, err := spandrel.StartRecorder(spandrel.RecorderConfig{
		Endpoint:  collector.URL,
		SlowAfter: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	provider, ended := newProvider(recorder)
	tracer := provider.Tracer("test")
	for _, length := range []time.Duration{time.Millisecond, 60 * time.Millisecond} {
		ctx, request := tracer.Start(context.Background(), "request")
		_, query := tracer.Start(ctx, "query")
		time.Sleep(length)
		query.End()
		request.End()
	}
	if err := provider.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if trace.IsEnabled() {
		t.Error("still recording after shutdown")
	}

	uploads := collector.received()
	if len(uploads) != 1 {
		t.Fatalf("%d uploads", len(uploads))
	}
	if uploads[0].path != "/v1/runtime-profiles" || uploads[0].resource != "service.name=shop,service.instance.id=shop-1" {
		t.Errorf("sent to %s with resource %s", uploads[0].path, uploads[0].resource)
	}
	logs := logsByMessage(t, uploads[0].trace, "otel")
	for _, span := range ended.Ended() {
		if _, found := logs[messageOf(span)]; !found {
			t.Errorf("%s of %v is not in the recording", span.Name(), span.EndTime().Sub(span.StartTime()))
		}
	}
	if stats := recorder.Stats(); stats.Requested != 1 || stats.Sent != 1 || stats.SentBytes == 0 || stats.Failed != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestSnapshotAndATraceByPprofGoTogether(t *testing.T) {
	collector := newCollector(t)
	recorder, err := spandrel.StartRecorder(spandrel.RecorderConfig{Endpoint: collector.URL, SlowAfter: -1})
	if err != nil {
		t.Fatal(err)
	}
	provider, ended := newProvider(recorder)
	var pulled bytes.Buffer
	if err := trace.Start(&pulled); err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(context.Background(), "span")
	span.End()
	if err := recorder.Snapshot(t.Context()); err != nil {
		t.Error(err)
	}
	trace.Stop()
	if err := provider.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	for source, recording := range map[string][]byte{"pull": pulled.Bytes(), "push": collector.received()[0].trace} {
		if _, found := logsByMessage(t, recording, "otel")[messageOf(ended.Ended()[0])]; !found {
			t.Errorf("the %s does not hold the span", source)
		}
	}
}

func TestSnapshotsUnderLoadCanBeReadAndTogetherHoldTheSlowSpans(t *testing.T) {
	if testing.Short() {
		t.Skip("records for 3 seconds; scripts/test-instrumentation.sh does not pass -short")
	}
	collector := newCollector(t)
	recorder, err := spandrel.StartRecorder(spandrel.RecorderConfig{
		Endpoint:    collector.URL,
		SlowAfter:   20 * time.Millisecond,
		Window:      4 * time.Second,
		MaxBytes:    64 << 20,
		MinInterval: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	provider, ended := newProvider(recorder)
	tracer := provider.Tracer("test")
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for begin := time.Now(); time.Since(begin) < 2500*time.Millisecond; {
				_, span := tracer.Start(context.Background(), "request")
				time.Sleep(time.Duration(1+4*worker) * time.Millisecond)
				span.End()
			}
		})
	}
	group.Wait()
	if err := provider.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	held := make(map[string]bool)
	for _, upload := range collector.received() {
		for message := range logsByMessage(t, upload.trace, "otel") {
			held[message] = true
		}
	}
	slow := 0
	for _, span := range ended.Ended() {
		if span.EndTime().Sub(span.StartTime()) < 20*time.Millisecond {
			continue
		}
		slow++
		if !held[messageOf(span)] {
			t.Errorf("a span of %v is in no recording", span.EndTime().Sub(span.StartTime()))
		}
	}
	if uploads := len(collector.received()); slow == 0 || uploads < 3 || uploads > 4 {
		t.Errorf("%d slow spans, %d uploads", slow, uploads)
	}
	t.Logf("%d slow spans, %+v", slow, recorder.Stats())
}

func TestAProcessHasOneRecorder(t *testing.T) {
	first, err := spandrel.StartRecorder(spandrel.RecorderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := spandrel.StartRecorder(spandrel.RecorderConfig{}); err == nil || !strings.Contains(err.Error(), "of which a process has one") {
		t.Errorf("second: %v", err)
	}
	if err := first.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	third, err := spandrel.StartRecorder(spandrel.RecorderConfig{})
	if err != nil {
		t.Fatal("after the first was shut down:", err)
	}
	if err := third.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

package spandrel

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// scriptedFlight stands in for the runtime's flight recorder, whose goroutine would keep a clock of the test's own from
// moving.
type scriptedFlight struct {
	startErr, writeErr error
	content            []byte
	taken              []time.Time
	running            bool
}

func (f *scriptedFlight) Start() error {
	f.running = f.startErr == nil
	return f.startErr
}

func (f *scriptedFlight) Stop() { f.running = false }

func (f *scriptedFlight) WriteTo(w io.Writer) (int64, error) {
	f.taken = append(f.taken, time.Now())
	if f.writeErr != nil {
		return 0, f.writeErr
	}
	n, err := w.Write(f.content)
	return int64(n), err
}

// scriptedCollector answers requests without a network.
type scriptedCollector struct {
	// answer is asked for each request, which are counted from 1; nil means 200.
	answer func(ctx context.Context, number int) (*http.Response, error)

	mutex    sync.Mutex
	arrivals []time.Time
	bodies   [][]byte
	headers  []http.Header
	running  int
	parallel int
}

func (c *scriptedCollector) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	c.mutex.Lock()
	c.arrivals = append(c.arrivals, time.Now())
	c.bodies = append(c.bodies, body)
	c.headers = append(c.headers, request.Header)
	c.running++
	c.parallel = max(c.parallel, c.running)
	number := len(c.arrivals)
	c.mutex.Unlock()
	defer func() {
		c.mutex.Lock()
		c.running--
		c.mutex.Unlock()
	}()
	if c.answer != nil {
		return c.answer(request.Context(), number)
	}
	return reply(200, "{}"), nil
}

func reply(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status,
		Status:     http.StatusText(status),
		Header:     make(http.Header),
		Body:       io.NopCloser(strings.NewReader(body)),
	}
}

// setting is a recorder between a scripted flight recorder and a scripted collector, and a tracer of the real SDK whose
// spans it sees.
type setting struct {
	*Recorder
	flight    *scriptedFlight
	collector *scriptedCollector
	provider  *sdktrace.TracerProvider
	tracer    oteltrace.Tracer
}

func newSetting(t *testing.T, config RecorderConfig, collector *scriptedCollector) *setting {
	t.Helper()
	config.Client = &http.Client{Transport: collector}
	config, endpoint, err := config.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	flight := &scriptedFlight{content: []byte("go 1.26 trace")}
	recorder, err := startRecorder(config, endpoint, flight)
	if err != nil {
		t.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "shop"))),
		sdktrace.WithSpanProcessor(recorder),
	)
	return &setting{recorder, flight, collector, provider, provider.Tracer("test")}
}

func (s *setting) span(name string, length time.Duration) {
	_, span := s.tracer.Start(context.Background(), name)
	time.Sleep(length)
	span.End()
}

func (s *setting) shutDown(t *testing.T) {
	t.Helper()
	if err := s.provider.Shutdown(context.Background()); err != nil {
		t.Errorf("shutting down: %v", err)
	}
	if s.flight.running {
		t.Error("the flight recorder is still running")
	}
}

// handledErrors collects what is told to otel.Handle during a test.
func handledErrors(t *testing.T) *[]error {
	var handled []error
	before := otel.GetErrorHandler()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { handled = append(handled, err) }))
	t.Cleanup(func() { otel.SetErrorHandler(before) })
	return &handled
}

func TestSlowSpansMakeSnapshotsOthersDoNot(t *testing.T) {
	config := RecorderConfig{SlowAfter: 100 * time.Millisecond, SlowAfterByName: map[string]time.Duration{
		"stream": 0,
		"report": time.Minute,
		"query":  10 * time.Millisecond,
	}}
	within := func(parent oteltrace.SpanContext) context.Context {
		return oteltrace.ContextWithSpanContext(context.Background(), parent)
	}
	remote := oteltrace.NewSpanContext(oteltrace.SpanContextConfig{
		TraceID: oteltrace.TraceID{1}, SpanID: oteltrace.SpanID{1}, TraceFlags: oteltrace.FlagsSampled, Remote: true,
	})
	for _, c := range []struct {
		what   string
		name   string
		parent oteltrace.SpanContext
		length time.Duration
		slow   bool
	}{
		{"root below the threshold", "GET", oteltrace.SpanContext{}, 99 * time.Millisecond, false},
		{"root at the threshold", "GET", oteltrace.SpanContext{}, 100 * time.Millisecond, true},
		{"span with a remote parent", "GET", remote, time.Second, true},
		{"span with a local parent", "step", remote.WithRemote(false), time.Hour, false},
		{"named span with a local parent", "query", remote.WithRemote(false), 10 * time.Millisecond, true},
		{"root with a higher threshold of its own", "report", oteltrace.SpanContext{}, time.Second, false},
		{"root that is long by nature", "stream", oteltrace.SpanContext{}, time.Hour, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSetting(t, config, &scriptedCollector{})
				_, span := s.tracer.Start(within(c.parent), c.name)
				time.Sleep(c.length)
				span.End()
				s.shutDown(t)
				if taken := len(s.flight.taken) == 1; taken != c.slow {
					t.Errorf("%d snapshots", len(s.flight.taken))
				}
			})
		})
	}
}

// recordOnly makes spans that processors see and exporters do not get.
type recordOnly struct{}

func (recordOnly) Description() string { return "record only" }

func (recordOnly) ShouldSample(sdktrace.SamplingParameters) sdktrace.SamplingResult {
	return sdktrace.SamplingResult{Decision: sdktrace.RecordOnly}
}

func TestSpansThatAreNotExportedMakeNoSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(t, RecorderConfig{}, &scriptedCollector{})
		provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(recordOnly{}), sdktrace.WithSpanProcessor(s.Recorder))
		s.tracer = provider.Tracer("test")
		s.span("GET", time.Hour)
		s.shutDown(t)
		if s.process.Load() == nil || len(s.flight.taken) != 0 {
			t.Errorf("the span was seen: %t, %d snapshots", s.process.Load() != nil, len(s.flight.taken))
		}
	})
}

func TestChangingTheConfigurationLaterChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		byName := map[string]time.Duration{"stream": 0}
		s := newSetting(t, RecorderConfig{SlowAfterByName: byName}, &scriptedCollector{})
		byName["stream"] = time.Second
		s.span("stream", time.Hour)
		s.shutDown(t)
		if len(s.flight.taken) != 0 {
			t.Errorf("%d snapshots", len(s.flight.taken))
		}
	})
}

func TestANegativeThresholdTurnsSlowSpansOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(t, RecorderConfig{SlowAfter: -1}, &scriptedCollector{})
		s.span("GET", time.Hour)
		s.shutDown(t)
		if len(s.flight.taken) != 0 {
			t.Errorf("%d snapshots", len(s.flight.taken))
		}
	})
}

func TestThePushIsCompressedAndNamesTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(t, RecorderConfig{}, &scriptedCollector{})
		s.span("GET", time.Second)
		s.shutDown(t)
		header := s.collector.headers[0]
		if got := header.Get("X-Spandrel-Resource"); got != "service.name=shop" {
			t.Errorf("resource %q", got)
		}
		if got := header.Get("Content-Encoding"); got != "gzip" {
			t.Errorf("encoding %q", got)
		}
		if got := decompress(t, s.collector.bodies[0]); !bytes.Equal(got, s.flight.content) {
			t.Errorf("content %q", got)
		}
	})
}

func decompress(t *testing.T, body []byte) []byte {
	t.Helper()
	reader, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestSnapshotsKeepTheirDistanceAndTheLastWishIsGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(t, RecorderConfig{SlowAfter: time.Second, MinInterval: 4 * time.Second}, &scriptedCollector{})
		for range 30 {
			s.span("GET", time.Second)
		}
		end := time.Now()
		if err := s.ForceFlush(t.Context()); err != nil {
			t.Error(err)
		}
		for i := 1; i < len(s.flight.taken); i++ {
			if distance := s.flight.taken[i].Sub(s.flight.taken[i-1]); distance != 4*time.Second {
				t.Errorf("snapshot %d came %v after the one before", i, distance)
			}
		}
		if last := s.flight.taken[len(s.flight.taken)-1]; last.Before(end) {
			t.Errorf("the last snapshot was taken %v before the last span ended", end.Sub(last))
		}
		stats := s.Stats()
		if stats.Requested != 30 || stats.Sent != uint64(len(s.flight.taken)) || stats.Joined != 30-stats.Sent {
			t.Errorf("%+v with %d snapshots", stats, len(s.flight.taken))
		}
		s.shutDown(t)
	})
}

func TestASlowCollectorHoldsNobodyUpAndGetsOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		collector := &scriptedCollector{answer: func(context.Context, int) (*http.Response, error) {
			time.Sleep(8 * time.Second)
			return reply(200, "{}"), nil
		}}
		s := newSetting(t, RecorderConfig{MinInterval: time.Second}, collector)
		begin := time.Now()
		for range 20 {
			s.span("GET", time.Second)
		}
		if took := time.Since(begin); took != 20*time.Second {
			t.Errorf("20 spans of a second took %v", took)
		}
		s.shutDown(t)
		if collector.parallel != 1 {
			t.Errorf("%d requests at a time", collector.parallel)
		}
		// At 1 s, 9 s, 17 s, and once more for the spans that ended after that.
		if len(collector.arrivals) != 4 {
			t.Errorf("%d snapshots", len(collector.arrivals))
		}
	})
}

func TestCallersOfSnapshotShareOneAndWaitForTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		collector := &scriptedCollector{answer: func(context.Context, int) (*http.Response, error) {
			time.Sleep(time.Second)
			return reply(400, `{"code":3,"message":"byte 17: no trace"}`), nil
		}}
		handled := handledErrors(t)
		s := newSetting(t, RecorderConfig{}, collector)
		s.span("GET", 0)
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() {
				begin := time.Now()
				err := s.Snapshot(t.Context())
				if err == nil || !strings.Contains(err.Error(), "byte 17: no trace") {
					t.Errorf("got %v", err)
				}
				if took := time.Since(begin); took < time.Second {
					t.Errorf("answered after %v", took)
				}
			})
		}
		callers.Wait()
		// The first caller's may have begun before the others came.
		if n := len(collector.arrivals); n > 2 {
			t.Errorf("%d snapshots for 10 callers", n)
		}
		if len(*handled) != 0 {
			t.Errorf("callers have the error, and so has otel.Handle: %v", *handled)
		}
		s.shutDown(t)
	})
}

func TestSnapshotEndsWithItsContextAndTheSnapshotIsSentNevertheless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(t, RecorderConfig{}, &scriptedCollector{answer: func(context.Context, int) (*http.Response, error) {
			time.Sleep(5 * time.Second)
			return reply(200, "{}"), nil
		}})
		s.span("GET", 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Snapshot(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		s.shutDown(t)
		if sent := s.Stats().Sent; sent != 1 {
			t.Errorf("%d sent", sent)
		}
	})
}

func TestSnapshotsBeforeTheFirstSpanAndAfterShutdownAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(t, RecorderConfig{}, &scriptedCollector{})
		if err := s.Snapshot(t.Context()); !errors.Is(err, ErrNoSpan) {
			t.Errorf("before the first span: %v", err)
		}
		s.span("GET", 0)
		s.shutDown(t)
		if err := s.Snapshot(t.Context()); !errors.Is(err, ErrShutdown) {
			t.Errorf("after shutdown: %v", err)
		}
		if len(s.flight.taken) != 0 {
			t.Errorf("%d snapshots", len(s.flight.taken))
		}
	})
}

func TestShutdownTakesWhatWasPutOffAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(t, RecorderConfig{MinInterval: time.Hour}, &scriptedCollector{})
		s.span("GET", time.Second)
		s.span("GET", time.Second)
		begin := time.Now()
		s.shutDown(t)
		if took := time.Since(begin); took != 0 || s.Stats().Sent != 2 {
			t.Errorf("%d sent, shutdown took %v", s.Stats().Sent, took)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("second shutdown: %v", err)
		}
	})
}

func TestShutdownGivesUpWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handled := handledErrors(t)
		s := newSetting(t, RecorderConfig{}, &scriptedCollector{answer: func(ctx context.Context, _ int) (*http.Response, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		s.span("GET", time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begin := time.Now()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 2*time.Second {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		synctest.Wait()
		if s.flight.running {
			t.Error("the flight recorder is still running")
		}
		if len(*handled) != 1 || s.Stats().Failed != 1 {
			t.Errorf("handled %v, %+v", *handled, s.Stats())
		}
	})
}

func TestASnapshotLargerThanMaxBytesIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handled := handledErrors(t)
		s := newSetting(t, RecorderConfig{MaxBytes: 10}, &scriptedCollector{})
		s.span("GET", time.Second)
		s.shutDown(t)
		if len(*handled) != 1 || !errors.Is((*handled)[0], errTooLarge) || len(s.collector.arrivals) != 0 {
			t.Errorf("handled %v, %d sent", *handled, len(s.collector.arrivals))
		}
	})
}

func TestWhatTheFlightRecorderSaysIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no window")
		s := newSetting(t, RecorderConfig{}, &scriptedCollector{})
		s.flight.writeErr = broken
		s.span("GET", 0)
		if err := s.Snapshot(t.Context()); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		s.shutDown(t)
	})
	config, endpoint, err := RecorderConfig{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	taken := errors.New("already enabled")
	if _, err := startRecorder(config, endpoint, &scriptedFlight{startErr: taken}); !errors.Is(err, taken) {
		t.Errorf("got %v", err)
	}
}

func TestARecorderWithoutAServiceNameSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(t, RecorderConfig{}, &scriptedCollector{})
		s.learn(resource.Empty())
		if err := s.Snapshot(t.Context()); !errors.Is(err, errNoServiceName) {
			t.Errorf("got %v", err)
		}
		s.shutDown(t)
	})
}

func TestSettingsThatMakeNoSenseAreRefused(t *testing.T) {
	for complaint, config := range map[string]RecorderConfig{
		"Window is -1ns":                  {Window: -1},
		"MaxBytes is -1":                  {MaxBytes: -1},
		"MinInterval is 999ms":            {MinInterval: 999 * time.Millisecond},
		"PushTimeout is -1ns":             {PushTimeout: -1},
		`Endpoint is "localhost:4318"`:    {Endpoint: "localhost:4318"},
		`Endpoint is "http:///v1"`:        {Endpoint: "http:///v1"},
		`Endpoint is "grpc://u:xxxxx@a"`:  {Endpoint: "grpc://u:secret@a"},
		"invalid character \" \" in host": {Endpoint: "http://a b"},
	} {
		if _, err := StartRecorder(config); err == nil || !strings.Contains(err.Error(), complaint) {
			t.Errorf("%s: got %v", complaint, err)
		}
	}
}

func TestAnEndpointWithoutAPathMeansTheUploads(t *testing.T) {
	for text, want := range map[string]string{
		"http://localhost:4318":         "http://localhost:4318/v1/runtime-profiles",
		"http://localhost:4318/":        "http://localhost:4318/v1/runtime-profiles",
		"https://collector/base/upload": "https://collector/base/upload",
	} {
		endpoint, err := parseEndpoint(text)
		if err != nil || endpoint.String() != want {
			t.Errorf("%s: got %v, %v", text, endpoint, err)
		}
	}
}

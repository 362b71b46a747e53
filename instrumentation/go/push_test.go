package spandrel

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestARefusalThatMayPassIsTriedAgain(t *testing.T) {
	for what, refuse := range map[string]func() (*http.Response, error){
		"no connection":       func() (*http.Response, error) { return nil, errors.New("connection refused") },
		"timeout of the body": func() (*http.Response, error) { return reply(408, ""), nil },
		"too many requests":   func() (*http.Response, error) { return reply(429, ""), nil },
		"busy":                func() (*http.Response, error) { return reply(503, ""), nil },
		"bad gateway":         func() (*http.Response, error) { return reply(502, ""), nil },
		"gateway timeout":     func() (*http.Response, error) { return reply(504, ""), nil },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSetting(t, RecorderConfig{}, &scriptedCollector{answer: func(_ context.Context, number int) (*http.Response, error) {
					if number <= 3 {
						return refuse()
					}
					return reply(200, "{}"), nil
				}})
				s.span("GET", 0)
				if err := s.Snapshot(t.Context()); err != nil {
					t.Error(err)
				}
				s.shutDown(t)
				if len(s.flight.taken) != 1 || len(s.collector.arrivals) != 4 {
					t.Errorf("%d snapshots, %d attempts", len(s.flight.taken), len(s.collector.arrivals))
				}
				for i, backoff := range []time.Duration{firstBackoff, 2 * firstBackoff, 4 * firstBackoff} {
					pause := s.collector.arrivals[i+1].Sub(s.collector.arrivals[i])
					if pause < backoff/2 || pause > backoff {
						t.Errorf("pause %d is %v, expected %v to %v", i, pause, backoff/2, backoff)
					}
				}
			})
		})
	}
}

func TestARefusalForGoodIsNotTriedAgain(t *testing.T) {
	for _, status := range []int{301, 400, 404, 405, 413, 415, 500} {
		synctest.Test(t, func(t *testing.T) {
			s := newSetting(t, RecorderConfig{}, &scriptedCollector{answer: func(context.Context, int) (*http.Response, error) {
				return reply(status, "not here\n"), nil
			}})
			s.span("GET", 0)
			err := s.Snapshot(t.Context())
			if err == nil || !strings.HasSuffix(err.Error(), ": not here") && status != 301 {
				t.Errorf("%d: got %v", status, err)
			}
			s.shutDown(t)
			if len(s.collector.arrivals) != 1 {
				t.Errorf("%d: %d attempts", status, len(s.collector.arrivals))
			}
		})
	}
}

func TestTheCollectorSaysWhenToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(t, RecorderConfig{}, &scriptedCollector{answer: func(_ context.Context, number int) (*http.Response, error) {
			if number == 1 {
				refused := reply(503, "")
				refused.Header.Set("Retry-After", "7")
				return refused, nil
			}
			return reply(200, "{}"), nil
		}})
		s.span("GET", 0)
		begin := time.Now()
		if err := s.Snapshot(t.Context()); err != nil || time.Since(begin) != 7*time.Second {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		s.shutDown(t)
	})
}

func TestAttemptsAndTheirTimeAreLimited(t *testing.T) {
	busy := func(after string) func(context.Context, int) (*http.Response, error) {
		return func(context.Context, int) (*http.Response, error) {
			refused := reply(503, `{"message":"the pipeline is busy"}`)
			refused.Header.Set("Retry-After", after)
			return refused, nil
		}
	}
	hang := func(ctx context.Context, _ int) (*http.Response, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, c := range []struct {
		what     string
		answer   func(context.Context, int) (*http.Response, error)
		attempts int
		longest  time.Duration
		says     string
	}{
		{"busy forever", busy("no number"), maxAttempts, 15 * firstBackoff, "given up after 5 attempts: Service Unavailable: the pipeline is busy"},
		{"come back much later", busy("99999"), 1, 0, "given up after 1 attempts (context deadline exceeded)"},
		{"no answer", hang, 3, 30 * time.Second, "context deadline exceeded"},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSetting(t, RecorderConfig{}, &scriptedCollector{answer: c.answer})
				s.span("GET", 0)
				begin := time.Now()
				err := s.Snapshot(t.Context())
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(begin); took > c.longest || len(s.collector.arrivals) != c.attempts {
					t.Errorf("%d attempts in %v", len(s.collector.arrivals), took)
				}
				s.shutDown(t)
			})
		})
	}
}

func TestAnErrorNamesTheEndpointWithoutItsPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := RecorderConfig{Endpoint: "http://user:secret@collector:4318"}
		s := newSetting(t, config, &scriptedCollector{answer: func(context.Context, int) (*http.Response, error) {
			return reply(404, "no pipeline takes profiles"), nil
		}})
		s.span("GET", 0)
		err := s.Snapshot(t.Context())
		want := "spandrel: sending a snapshot to http://user:xxxxx@collector:4318/v1/runtime-profiles: Not Found: no pipeline takes profiles"
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		s.shutDown(t)
	})
}

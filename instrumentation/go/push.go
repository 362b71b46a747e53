package spandrel

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	maxAttempts      = 5
	firstBackoff     = 500 * time.Millisecond
	attemptTimeout   = 10 * time.Second
	maxAnswerBytes   = 4 << 10
	maxRetryAfterSec = 60
)

var errTooLarge = errors.New("larger than MaxBytes")

// takeAndPush takes a snapshot and sends it. It returns the number of bytes sent. The process must have a name: nobody
// can ask for a snapshot before.
func (r *Recorder) takeAndPush() (int, error) {
	process := r.process.Load()
	if process.err != nil {
		return 0, fmt.Errorf("spandrel: %w", process.err)
	}
	body, err := r.compressed()
	if err != nil {
		return 0, fmt.Errorf("spandrel: taking a snapshot: %w", err)
	}
	if err := r.push(process.header, body); err != nil {
		return 0, fmt.Errorf("spandrel: sending a snapshot to %s: %w", r.endpoint.Redacted(), err)
	}
	return len(body), nil
}

// compressed returns the window, compressed as it is read so that it is not held twice.
func (r *Recorder) compressed() ([]byte, error) {
	body := limitedBuffer{limitBytes: r.config.MaxBytes}
	compressor, err := gzip.NewWriterLevel(&body, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := r.flight.WriteTo(compressor); err != nil {
		return nil, err
	}
	if err := compressor.Close(); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// limitedBuffer refuses what goes beyond its limit.
type limitedBuffer struct {
	bytes.Buffer
	limitBytes int
}

func (b *limitedBuffer) Write(data []byte) (int, error) {
	if b.Len()+len(data) > b.limitBytes {
		return 0, errTooLarge
	}
	return b.Buffer.Write(data)
}

// refusal is an attempt that failed.
type refusal struct {
	err error
	// retry says whether the next attempt may succeed, and after is when the collector wants it at the earliest.
	retry bool
	after time.Duration
}

func (r *Recorder) push(process string, body []byte) error {
	ctx, cancel := context.WithTimeout(r.alive, r.config.PushTimeout)
	defer cancel()
	backoff := firstBackoff
	for attempt := 1; ; attempt++ {
		refused := r.attempt(ctx, process, body)
		if refused == nil {
			return nil
		}
		if !refused.retry {
			return refused.err
		}
		if attempt == maxAttempts {
			return fmt.Errorf("given up after %d attempts: %w", attempt, refused.err)
		}
		// Half of the pause is chance, so that the instances of a service do not come back together.
		pause := max(backoff/2+rand.N(backoff/2), refused.after)
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("given up after %d attempts (%w): %w", attempt, err, refused.err)
		}
		backoff *= 2
	}
}

// sleep returns at once if ctx would end before the pause does.
func sleep(ctx context.Context, pause time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < pause {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Recorder) attempt(ctx context.Context, process string, body []byte) *refusal {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return &refusal{err: err}
	}
	request.Header.Set("Content-Type", "application/octet-stream")
	request.Header.Set("Content-Encoding", "gzip")
	request.Header.Set(resourceHeader, process)
	response, err := r.config.Client.Do(request)
	if err != nil {
		return &refusal{err: withoutURL(err), retry: true}
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if response.StatusCode/100 == 2 {
		return nil
	}
	return &refusal{
		err:   fmt.Errorf("%s: %s", response.Status, message(answer)),
		retry: retryable(response.StatusCode),
		after: retryAfter(response.Header),
	}
}

// withoutURL leaves out what the caller's message says, too.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

func retryable(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, maxRetryAfterSec)) * time.Second
}

// message is what the collector says about a refusal: a google.rpc.Status in JSON, or text.
func message(answer []byte) string {
	var status struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(answer, &status) == nil && status.Message != "" {
		return status.Message
	}
	return string(bytes.TrimSpace(answer))
}

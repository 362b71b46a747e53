package recording

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

const maxTraceBytes = 64 << 20

// FetchTrace has the process behind address (its net/http/pprof listener) traced for the given time, and stores the trace.
func FetchTrace(ctx context.Context, w *Writer, address string, length time.Duration, resource map[string]any) error {
	url := fmt.Sprintf("http://%s/debug/pprof/trace?seconds=%g", address, length.Seconds())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	begin := time.Now()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %s", url, response.Status)
	}
	trace, err := io.ReadAll(io.LimitReader(response.Body, maxTraceBytes))
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	window := Window{BeginUnixNs: begin.UnixNano(), EndUnixNs: time.Now().UnixNano()}
	return w.Add(Item{Kind: ExecutionTrace, Resource: resource, Window: &window}, trace)
}

package service

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

// elsewhere calls other shops. Its requests have a client span, and carry its context.
var elsewhere = http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport)}

// AskElsewhere has the shop at an address do one of its operations, such as "GET /shipping", and returns the answer.
func (s *Service) AskElsewhere(ctx context.Context, address, operation string, header http.Header) (json.RawMessage, error) {
	return inSpan(ctx, "ask elsewhere", func(ctx context.Context) (json.RawMessage, error) {
		method, path, _ := strings.Cut(operation, " ")
		request, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, nil)
		if err != nil {
			return nil, fmt.Errorf("asking elsewhere: %w", err)
		}
		request.Header = header
		response, err := elsewhere.Do(request)
		if err != nil {
			return nil, fmt.Errorf("asking elsewhere: %w", err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("asking elsewhere: %s: %s", response.Status, answer)
		}
		return answer, err
	})
}

package telemetry

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"spandrel.dev/spandrel"
)

// helperProcessors are the parts of Spandrel's helper that SHOP_SPANDREL lists, separated by commas. By default there are
// none: the shop shows what Spandrel makes of a service that knows nothing of it.
//
//	log            span ids in the execution trace
//	goroutine-id   the attribute go.goroutine.id, and the log
//	recorder       the flight recorder, which pushes to SHOP_SPANDREL_ENDPOINT what happened around requests that took
//	               SHOP_SPANDREL_SLOW_AFTER or longer
func helperProcessors() ([]trace.TracerProviderOption, error) {
	var options []trace.TracerProviderOption
	for part := range strings.SplitSeq(os.Getenv("SHOP_SPANDREL"), ",") {
		processor, err := helperProcessor(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		if processor != nil {
			options = append(options, trace.WithSpanProcessor(processor))
		}
	}
	return options, nil
}

func helperProcessor(part string) (trace.SpanProcessor, error) {
	switch part {
	case "":
		return nil, nil
	case "log":
		return spandrel.NewSpanProcessor(), nil
	case "goroutine-id":
		return spandrel.NewSpanProcessor(spandrel.WithGoroutineID()), nil
	case "recorder":
		slowAfter, err := time.ParseDuration(cmp.Or(os.Getenv("SHOP_SPANDREL_SLOW_AFTER"), "100ms"))
		if err != nil {
			return nil, fmt.Errorf("SHOP_SPANDREL_SLOW_AFTER: %w", err)
		}
		return spandrel.StartRecorder(spandrel.RecorderConfig{
			Endpoint:  os.Getenv("SHOP_SPANDREL_ENDPOINT"),
			SlowAfter: slowAfter,
		})
	default:
		return nil, fmt.Errorf("SHOP_SPANDREL lists %q, expected log, goroutine-id or recorder", part)
	}
}

// Package telemetry wires the stock OpenTelemetry SDK: every span sampled, all three signals over OTLP/gRPC.
//
// The endpoint comes from OTEL_EXPORTER_OTLP_ENDPOINT and the resource from OTEL_SERVICE_NAME and
// OTEL_RESOURCE_ATTRIBUTES, as the OpenTelemetry specification defines them.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/log/global"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
)

const (
	batchTimeout   = time.Second
	metricInterval = 2 * time.Second
	spanQueueSize  = 16384
)

// Shutdown flushes what is buffered and stops the providers.
type Shutdown func(context.Context) error

// Start installs the global tracer, meter and logger providers.
func Start(ctx context.Context) (Shutdown, error) {
	res, err := describeProcess(ctx)
	if err != nil {
		return nil, fmt.Errorf("describing the resource: %w", err)
	}
	spans, err := otlptracegrpc.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("creating the span exporter: %w", err)
	}
	metrics, err := otlpmetricgrpc.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("creating the metric exporter: %w", err)
	}
	logs, err := otlploggrpc.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("creating the log exporter: %w", err)
	}
	helper, err := helperProcessors()
	if err != nil {
		return nil, err
	}

	tracers := trace.NewTracerProvider(append(helper,
		trace.WithResource(res),
		trace.WithSampler(trace.AlwaysSample()),
		trace.WithBatcher(spans, trace.WithBatchTimeout(batchTimeout), trace.WithMaxQueueSize(spanQueueSize)),
	)...)
	meters := metric.NewMeterProvider(
		metric.WithResource(res),
		metric.WithReader(metric.NewPeriodicReader(metrics, metric.WithInterval(metricInterval))),
	)
	loggers := log.NewLoggerProvider(
		log.WithResource(res),
		log.WithProcessor(log.NewBatchProcessor(logs, log.WithExportInterval(batchTimeout))),
	)
	otel.SetTracerProvider(tracers)
	otel.SetMeterProvider(meters)
	global.SetLoggerProvider(loggers)
	otel.SetTextMapPropagator(propagation.TraceContext{})

	stop := func(ctx context.Context) error {
		return errors.Join(tracers.Shutdown(ctx), meters.Shutdown(ctx), loggers.Shutdown(ctx))
	}
	if err := runtime.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting runtime metrics: %w", err), stop(ctx))
	}
	return stop, nil
}

// describeProcess names the process by what identifies it and nothing more: no command line, no paths, no user.
func describeProcess(ctx context.Context) (*resource.Resource, error) {
	return resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			semconv.ServiceName("shop"),
			semconv.ServiceInstanceID("shop-1"),
			semconv.ProcessPID(os.Getpid()),
		),
		resource.WithFromEnv(),
	)
}

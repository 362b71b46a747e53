package recording

import (
	"fmt"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // Senders may compress.
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const maxRequestBytes = 16 << 20

var kindsByMethod = map[string]Kind{
	"/opentelemetry.proto.collector.trace.v1.TraceService/Export":     Traces,
	"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": Metrics,
	"/opentelemetry.proto.collector.logs.v1.LogsService/Export":       Logs,
}

// NewReceiver returns an OTLP/gRPC server that stores each request's bytes exactly as the sender encoded them.
func NewReceiver(w *Writer) *grpc.Server {
	return grpc.NewServer(
		grpc.ForceServerCodecV2(verbatim{}),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			method, _ := grpc.MethodFromServerStream(stream)
			kind, known := kindsByMethod[method]
			if !known {
				return status.Errorf(codes.Unimplemented, "unknown method %s", method)
			}
			var request []byte
			if err := stream.RecvMsg(&request); err != nil {
				return err
			}
			if err := store(w, kind, request); err != nil {
				return status.Error(codes.ResourceExhausted, err.Error())
			}
			return stream.SendMsg(&[]byte{}) // An empty Export*ServiceResponse: everything accepted.
		}),
	)
}

func store(w *Writer, kind Kind, request []byte) error {
	item := Item{Kind: kind}
	if kind == Traces {
		var decoded coltrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(request, &decoded); err != nil {
			return fmt.Errorf("decoding a traces request: %w", err)
		}
		for _, resource := range decoded.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				item.Spans += len(scope.Spans)
			}
		}
	}
	return w.Add(item, request)
}

// verbatim is a gRPC codec for *[]byte that leaves the bytes as they are.
type verbatim struct{}

func (verbatim) Name() string { return "proto" }

func (verbatim) Marshal(message any) (mem.BufferSlice, error) {
	data, ok := message.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("cannot send a %T", message)
	}
	return mem.BufferSlice{mem.SliceBuffer(*data)}, nil
}

func (verbatim) Unmarshal(data mem.BufferSlice, message any) error {
	target, ok := message.(*[]byte)
	if !ok {
		return fmt.Errorf("cannot receive into a %T", message)
	}
	*target = data.Materialize()
	return nil
}

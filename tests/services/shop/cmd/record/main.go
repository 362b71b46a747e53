// Command record runs two instances of shop under load and writes down what a collector would receive from them: OTLP
// requests, byte for byte, and Go execution traces.
//
// shop-1 gets the whole schedule of load and is traced without pause in back-to-back slices. shop-2 gets the base mix
// only and is traced once for a short time, so a reader must tell the processes apart and must cope with spans that
// no trace covers. The databases come from SHOP_POSTGRES_DSN and SHOP_REDIS_ADDR.
package main

import (
	"context"
	"debug/buildinfo"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"spandrel.dev/shop/internal/recording"
)

const (
	serviceName = "shop"
	hostName    = "shop-host"

	// lead and tail are traced before the first request and after the last is due.
	lead = 300 * time.Millisecond
	tail = 700 * time.Millisecond

	maxRecordingBytes = 4 << 20
)

// recordedModules are the modules whose versions shape the recorded telemetry.
var recordedModules = []string{
	"go.opentelemetry.io/otel/sdk",
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
	"github.com/XSAM/otelsql",
	"github.com/redis/go-redis/extra/redisotel/v9",
	"github.com/redis/go-redis/v9",
	"github.com/jackc/pgx/v5",
}

type options struct {
	shop     string
	load     string
	out      string
	duration time.Duration
	slices   int
	second   time.Duration
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("record: ")
	var o options
	flag.StringVar(&o.shop, "shop", "./shop", "the shop binary")
	flag.StringVar(&o.load, "load", "./load", "the load binary")
	flag.StringVar(&o.out, "out", "recording", "directory to write")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "how long load sends requests")
	flag.IntVar(&o.slices, "slices", 2, "execution traces of shop-1; together they cover the whole run")
	flag.DurationVar(&o.second, "second", 2*time.Second, "length of the one execution trace of shop-2, in the middle of the run")
	flag.Parse()
	if o.slices < 1 || o.duration < o.second {
		log.Fatal("-slices must be positive and -second at most -duration")
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := record(ctx, o); err != nil {
		log.Fatal(err)
	}
}

func record(ctx context.Context, o options) error {
	build, err := buildinfo.ReadFile(o.shop)
	if err != nil {
		return err
	}
	writer, err := recording.Create(o.out, maxRecordingBytes)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	receiver := recording.NewReceiver(writer)
	go func() { _ = receiver.Serve(listener) }()
	defer receiver.GracefulStop()

	started := time.Now()
	if err := runShops(ctx, o, writer, listener.Addr().String()); err != nil {
		return err
	}
	return writer.Finish(recording.Manifest{
		StartedUnixNs: started.UnixNano(),
		DurationNs:    time.Since(started).Nanoseconds(),
		Command:       append([]string{"record"}, os.Args[1:]...),
		GoVersion:     build.GoVersion,
		Platform:      runtime.GOOS + "/" + runtime.GOARCH,
		Modules:       moduleVersions(build),
	})
}

// runShops starts both instances, drives and traces them, and stops them.
func runShops(ctx context.Context, o options, writer *recording.Writer, endpoint string) error {
	first, err := startShop(ctx, o.shop, "shop-1", endpoint)
	if err != nil {
		return err
	}
	defer first.stop() // Matters after an error only.
	second, err := startShop(ctx, o.shop, "shop-2", endpoint)
	if err != nil {
		return err
	}
	defer second.stop()
	if err := driveAndTrace(ctx, o, writer, first, second); err != nil {
		return err
	}
	for _, s := range []*shop{first, second} {
		if err := s.stop(); err != nil {
			return fmt.Errorf("stopping %s: %w", s.resource["service.instance.id"], err)
		}
	}
	return nil
}

func driveAndTrace(ctx context.Context, o options, writer *recording.Writer, first, second *shop) error {
	var table string
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		slice := (lead + o.duration + tail) / time.Duration(o.slices)
		for range o.slices {
			if err := recording.FetchTrace(ctx, writer, first.debug, slice, first.resource); err != nil {
				return err
			}
		}
		return nil
	})
	group.Go(func() error {
		time.Sleep(lead + (o.duration-o.second)/2)
		return recording.FetchTrace(ctx, writer, second.debug, o.second, second.resource)
	})
	group.Go(func() (err error) {
		time.Sleep(lead)
		table, err = runLoad(ctx, o.load, first, "-duration", o.duration.String())
		return err
	})
	group.Go(func() error {
		time.Sleep(lead)
		_, err := runLoad(ctx, o.load, second, "-duration", o.duration.String(), "-base-only")
		return err
	})
	err := group.Wait()
	fmt.Print(table)
	return err
}

func moduleVersions(build *buildinfo.BuildInfo) map[string]string {
	versions := make(map[string]string)
	for _, module := range build.Deps {
		if slices.Contains(recordedModules, module.Path) {
			versions[module.Path] = module.Version
		}
	}
	return versions
}

// Command shop is a small web shop on PostgreSQL and Redis, instrumented only with stock OpenTelemetry Go and
// net/http/pprof. Some of its operations are slow on purpose, each for one cause.
//
// Telemetry is configured by the standard variables OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME and
// OTEL_RESOURCE_ATTRIBUTES. When both listeners are up, shop prints one line to standard output:
//
//	shop ready http=127.0.0.1:8080 debug=127.0.0.1:6060
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"spandrel.dev/shop/internal/cache"
	"spandrel.dev/shop/internal/service"
	"spandrel.dev/shop/internal/store"
	"spandrel.dev/shop/internal/telemetry"
	"spandrel.dev/shop/internal/web"
)

const shutdownTimeout = 10 * time.Second

type options struct {
	listen   string
	debug    string
	postgres string
	redis    string
	pools    store.Pools
	procs    int
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("shop: ")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, parseOptions()); err != nil {
		log.Fatal(err)
	}
}

func parseOptions() options {
	var o options
	flag.StringVar(&o.listen, "listen", cmp.Or(os.Getenv("SHOP_LISTEN"), "127.0.0.1:8080"), "address of the shop [SHOP_LISTEN]")
	flag.StringVar(&o.debug, "debug", cmp.Or(os.Getenv("SHOP_DEBUG"), "127.0.0.1:6060"), "address of /debug/pprof [SHOP_DEBUG]")
	flag.StringVar(&o.postgres, "postgres", os.Getenv("SHOP_POSTGRES_DSN"), "PostgreSQL DSN [SHOP_POSTGRES_DSN]")
	flag.StringVar(&o.redis, "redis", os.Getenv("SHOP_REDIS_ADDR"), "Redis host:port [SHOP_REDIS_ADDR]")
	flag.IntVar(&o.pools.Main, "pool", 24, "connections in the main PostgreSQL pool")
	flag.IntVar(&o.pools.Ledger, "ledger-pool", 1, "connections in the ledger's PostgreSQL pool")
	flag.IntVar(&o.procs, "procs", 4, "GOMAXPROCS; with fewer than 4 the collector has no dedicated worker and GET /feed waits for a CPU, too")
	flag.Parse()
	return o
}

func run(ctx context.Context, o options) (err error) {
	if o.postgres == "" || o.redis == "" {
		return errors.New("no database: set -postgres and -redis, or SHOP_POSTGRES_DSN and SHOP_REDIS_ADDR")
	}
	runtime.GOMAXPROCS(o.procs)
	flush, err := telemetry.Start(ctx)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		err = errors.Join(err, flush(ctx))
	}()
	postgres, err := store.Open(ctx, o.postgres, o.pools)
	if err != nil {
		return err
	}
	defer postgres.Close()
	redis, err := cache.Open(ctx, o.redis)
	if err != nil {
		return err
	}
	defer redis.Close()
	shop := service.New(postgres, redis)
	defer shop.Close()
	return serve(ctx, o, web.Handler(shop))
}

// serve answers until ctx ends, then lets running requests finish.
func serve(ctx context.Context, o options, shop http.Handler) error {
	shopListener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	debugListener, err := net.Listen("tcp", o.debug)
	if err != nil {
		return errors.Join(err, shopListener.Close())
	}
	shopServer := &http.Server{Handler: shop, ReadHeaderTimeout: 5 * time.Second}
	debugServer := &http.Server{Handler: debugHandler(), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 2)
	go func() { failed <- shopServer.Serve(shopListener) }()
	go func() { failed <- debugServer.Serve(debugListener) }()
	fmt.Printf("shop ready http=%s debug=%s\n", shopListener.Addr(), debugListener.Addr())

	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	return errors.Join(err, shopServer.Shutdown(deadline), debugServer.Close())
}

func debugHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

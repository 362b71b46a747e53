// Command load sends requests to shop at fixed rates, whether or not answers come (open loop), and prints a table of
// what it saw. It is not instrumented: shop's server spans are roots.
//
// It exits with status 1 if more than one request in a hundred fails.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"spandrel.dev/shop/internal/schedule"
	"spandrel.dev/shop/internal/web"
)

const (
	requestTimeout = 10 * time.Second
	maxInFlight    = 512
	customers      = 64
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("load: ")
	target := flag.String("target", "http://127.0.0.1:8080", "base URL of shop")
	duration := flag.Duration("duration", 10*time.Second, "how long to send requests")
	baseOnly := flag.Bool("base-only", false, "send only the base mix, no slow operations")
	repeat := flag.Int("repeat", 1, "how many times to run the schedule")
	wait := flag.Duration("wait", 0, "wait up to this long for shop to answer /healthz before the start")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := awaitHealth(ctx, *target, *wait); err != nil {
		log.Fatal(err)
	}
	phases := schedule.Phases()
	if *baseOnly {
		phases = nil
	}
	plan := schedule.Plan(*duration, schedule.Base(), phases)
	var seen results
	for range *repeat {
		send(ctx, *target, plan, &seen)
	}
	seen.print(os.Stdout)
	if seen.tooManyFailures() {
		os.Exit(1)
	}
}

func awaitHealth(ctx context.Context, target string, patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; {
		response, err := http.Get(target + "/healthz")
		if err == nil {
			response.Body.Close()
			return nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("shop does not answer: %w", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// send issues every request when it is due and returns when all are answered.
func send(ctx context.Context, target string, plan []schedule.Due, seen *results) {
	client := &http.Client{
		Timeout:   requestTimeout,
		Transport: &http.Transport{MaxIdleConns: maxInFlight, MaxIdleConnsPerHost: maxInFlight},
	}
	defer client.CloseIdleConnections()
	slots := make(chan struct{}, maxInFlight)
	var pending sync.WaitGroup
	start := time.Now()
	for i, due := range plan {
		select {
		case <-ctx.Done():
			pending.Wait()
			return
		case <-time.After(time.Until(start.Add(due.At))):
		}
		select {
		case slots <- struct{}{}:
		default: // Waiting for a slot would close the loop.
			seen.add(due.Stream.Operation, 0, fmt.Errorf("more than %d requests in flight", maxInFlight))
			continue
		}
		pending.Go(func() {
			sent := time.Now()
			err := request(client, target, due.Stream, i)
			seen.add(due.Stream.Operation, time.Since(sent), err)
			<-slots
		})
	}
	pending.Wait()
}

func request(client *http.Client, target string, stream schedule.Stream, number int) error {
	method, path, _ := strings.Cut(stream.Operation, " ")
	if stream.Path != "" {
		path = stream.Path
	}
	r, err := http.NewRequest(method, target+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set(web.CustomerHeader, fmt.Sprintf("customer-%d", number%customers))
	return discard(client.Do(r))
}

package main

import (
	"context"
	"math/rand"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

const customers = 4

// serve lets customers send requests until ctx ends. The channel is closed when the last has been answered.
func serve(ctx context.Context, tracer trace.Tracer) <-chan struct{} {
	kiosk := &kiosk{tracer: tracer}
	var group sync.WaitGroup
	for seed := int64(1); seed <= customers; seed++ {
		group.Add(1)
		go func() {
			defer group.Done()
			random := rand.New(rand.NewSource(seed))
			for ctx.Err() == nil {
				time.Sleep(between(random, 1, 9))
				kiosk.sell(random)
			}
		}()
	}
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	return done
}

type kiosk struct {
	tracer trace.Tracer
	till   sync.Mutex
}

// sell looks an item up, which takes most of the time, and pays at the only till.
func (k *kiosk) sell(random *rand.Rand) {
	ctx, span := k.tracer.Start(context.Background(), "POST /sale", trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	k.lookUp(ctx, random)
	k.pay(ctx)
}

// lookUp stands for a database: it sleeps.
func (k *kiosk) lookUp(ctx context.Context, random *rand.Rand) {
	_, span := k.tracer.Start(ctx, "SELECT item", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("db.system.name", "postgresql")))
	defer span.End()
	time.Sleep(between(random, 2, 6))
}

func (k *kiosk) pay(ctx context.Context) {
	_, span := k.tracer.Start(ctx, "pay")
	defer span.End()
	k.till.Lock()
	defer k.till.Unlock()
	for begin := time.Now(); time.Since(begin) < 100*time.Microsecond; {
	}
}

// between chooses a time from a number of milliseconds up to another.
func between(random *rand.Rand, least, most int) time.Duration {
	return time.Duration(least)*time.Millisecond + time.Duration(random.Intn((most-least)*1_000_000))
}

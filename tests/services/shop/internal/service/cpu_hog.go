package service

import (
	"context"
	"runtime"
	"sync"
	"time"
)

const (
	reindexTime      = 200 * time.Millisecond
	reindexersPerCPU = 3

	quoteSteps    = 3
	quoteStepCost = 200 * time.Microsecond
)

// Quote computes in short steps and yields after each. While [Service.Reindex] runs, a yielded goroutine waits, runnable,
// behind goroutines that use up their whole time slice.
func (s *Service) Quote(ctx context.Context) error {
	_, err := inSpan(ctx, "quote", func(context.Context) (struct{}, error) {
		for range quoteSteps {
			compute(quoteStepCost)
			runtime.Gosched()
		}
		return struct{}{}, nil
	})
	return err
}

// Reindex occupies every CPU several times over.
func (s *Service) Reindex(ctx context.Context) error {
	_, err := inSpan(ctx, "reindex", func(context.Context) (struct{}, error) {
		var shards sync.WaitGroup
		for range reindexersPerCPU * runtime.GOMAXPROCS(0) {
			shards.Go(func() { compute(reindexTime) })
		}
		shards.Wait()
		return struct{}{}, nil
	})
	return err
}

package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
)

var libraryWaits = []func(){
	sqlPool, sqlPoolTimeout, singleFlight, errGroupWait, errGroupLimit, semaphoreAcquire, rateLimit,
}

// sqlPool waits for the only connection of a pool, which somebody else holds.
func sqlPool() {
	pool := sql.OpenDB(nowhere{})
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	conn := must(pool.Conn(context.Background()))
	after(func() { conn.Close() })
	check(must(pool.Conn(context.Background())).Close())
}

func sqlPoolTimeout() {
	pool := sql.OpenDB(nowhere{})
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	conn := must(pool.Conn(context.Background()))
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), hold)
	defer cancel()
	if _, err := pool.Conn(ctx); !errors.Is(err, context.DeadlineExceeded) {
		check(errors.New("the pool has a second connection"))
	}
}

// nowhere is a database without statements.
type nowhere struct{}

func (nowhere) Connect(context.Context) (driver.Conn, error) { return nowhere{}, nil }
func (nowhere) Driver() driver.Driver                        { return nowhere{} }
func (nowhere) Open(string) (driver.Conn, error)             { return nowhere{}, nil }
func (nowhere) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (nowhere) Begin() (driver.Tx, error)                    { return nil, errors.ErrUnsupported }
func (nowhere) Close() error                                 { return nil }

func singleFlight() {
	var flights singleflight.Group
	begun := make(chan struct{})
	fly := func() (any, error) { close(begun); time.Sleep(hold); return nil, nil }
	go flights.Do("key", fly)
	<-begun
	flights.Do("key", fly)
}

func errGroupWait() {
	var group errgroup.Group
	group.Go(func() error { time.Sleep(hold); return nil })
	check(group.Wait())
}

func errGroupLimit() {
	var group errgroup.Group
	group.SetLimit(1)
	group.Go(func() error { time.Sleep(hold); return nil })
	group.Go(func() error { return nil })
	check(group.Wait())
}

func semaphoreAcquire() {
	tokens := semaphore.NewWeighted(1)
	check(tokens.Acquire(context.Background(), 1))
	after(func() { tokens.Release(1) })
	check(tokens.Acquire(context.Background(), 1))
}

func rateLimit() {
	limiter := rate.NewLimiter(rate.Every(hold), 1)
	check(limiter.Wait(context.Background()))
	check(limiter.Wait(context.Background()))
}

// Package service is the shop's business logic. Every method makes one span in the scope "shop/service".
//
// The ordinary operations are in this file, one that hands its span over to another goroutine in hand_over.go. Each of the
// others has one injected cause of slowness, which a goroutine experiences in a way that the runtime's execution trace
// records; the file is named after the cause.
package service

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"spandrel.dev/shop/internal/cache"
	"spandrel.dev/shop/internal/store"
)

const (
	scope = "shop/service"

	catalogTTL  = 150 * time.Millisecond
	catalogSize = 20
	jobCost     = time.Millisecond
)

var tracer = otel.Tracer(scope)

// Service ties the layers below to the operations above. Its methods are safe for concurrent use.
type Service struct {
	store      *store.Store
	cache      *cache.Cache
	log        *slog.Logger
	jobs       *Workers
	thumbnails *Workers
	mails      *Workers
	inventory  inventory
	feed       *feed
}

// New starts the worker pools. The caller keeps ownership of store and cache.
func New(store *store.Store, cache *cache.Cache) *Service {
	return &Service{
		store:      store,
		cache:      cache,
		log:        otelslog.NewLogger(scope),
		jobs:       StartWorkers(4, 64),
		thumbnails: StartWorkers(1, 64),
		mails:      StartWorkers(1, 64),
		feed:       newFeed(),
	}
}

// Close lets the workers finish what they have accepted.
func (s *Service) Close() {
	s.jobs.Close()
	s.thumbnails.Close()
	s.mails.Close()
}

// Catalog returns the first page of products as JSON, from the cache if it is fresh.
func (s *Service) Catalog(ctx context.Context) ([]byte, error) {
	return inSpan(ctx, "catalog", func(ctx context.Context) ([]byte, error) {
		page, hit, err := s.cache.Get(ctx, "catalog")
		trace.SpanFromContext(ctx).SetAttributes(attribute.Bool("cache.hit", hit))
		if hit || err != nil {
			return page, err
		}
		products, err := s.store.ListProducts(ctx, catalogSize)
		if err != nil {
			return nil, err
		}
		page, err = json.Marshal(products)
		if err != nil {
			return nil, fmt.Errorf("encoding the catalog: %w", err)
		}
		return page, s.cache.Set(ctx, "catalog", page, catalogTTL)
	})
}

// Detail is everything the product page shows.
type Detail struct {
	store.Product
	Stock int `json:"stock"`
	Sold  int `json:"sold"`
}

// ProductDetail asks three questions at once; the caller's goroutine waits for the slowest answer.
func (s *Service) ProductDetail(ctx context.Context, id int) (Detail, error) {
	return inSpan(ctx, "product detail", func(ctx context.Context) (Detail, error) {
		var detail Detail
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() (err error) { detail.Product, err = s.store.Product(ctx, id); return err })
		group.Go(func() (err error) { detail.Stock, err = s.store.Stock(ctx, id); return err })
		group.Go(func() (err error) { detail.Sold, err = s.store.Sold(ctx, id); return err })
		err := group.Wait()
		return detail, err
	})
}

// Checkout orders one product and returns the order's id.
func (s *Service) Checkout(ctx context.Context, customer string, productID int) (int64, error) {
	return inSpan(ctx, "checkout", func(ctx context.Context) (int64, error) {
		order, err := s.store.PlaceOrder(ctx, customer, productID)
		if err != nil {
			return 0, err
		}
		s.log.InfoContext(ctx, "order placed", slog.Int64("order", order), slog.Int("product", productID))
		return order, nil
	})
}

// EnqueueJob hands work to the pool and returns at once. The job's span is a child that outlives its parent.
func (s *Service) EnqueueJob(ctx context.Context) error {
	_, err := inSpan(ctx, "enqueue job", func(ctx context.Context) (struct{}, error) {
		detached := context.WithoutCancel(ctx)
		_, err := s.jobs.Submit(func() {
			_, span := tracer.Start(detached, "job")
			defer span.End()
			compute(jobCost)
		})
		return struct{}{}, err
	})
	return err
}

func inSpan[T any](ctx context.Context, name string, call func(context.Context) (T, error)) (T, error) {
	ctx, span := tracer.Start(ctx, name)
	defer span.End()
	value, err := call(ctx)
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	return value, err
}

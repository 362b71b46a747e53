package service

import (
	"context"
	"time"

	"spandrel.dev/shop/internal/store"
)

const searchPlan = 30 * time.Millisecond

// Search runs a query that PostgreSQL takes long to answer. The request waits for the network.
func (s *Service) Search(ctx context.Context, pattern string) ([]store.Product, error) {
	return inSpan(ctx, "search", func(ctx context.Context) ([]store.Product, error) {
		return s.store.SearchProducts(ctx, pattern, searchPlan)
	})
}

package service

import (
	"context"
	"time"
)

const (
	shippingAttempts = 2
	shippingBackoff  = 15 * time.Millisecond
)

// ShippingCost backs off before each attempt, as an overcautious client does.
func (s *Service) ShippingCost(ctx context.Context) (int, error) {
	return inSpan(ctx, "shipping cost", func(context.Context) (int, error) {
		cost := 0
		for range shippingAttempts {
			time.Sleep(shippingBackoff)
			cost += 490
		}
		return cost, nil
	})
}

package service

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// recommendationsTTL is so short that nearly every request finds its entry expired.
const recommendationsTTL = 2 * time.Millisecond

// Recommendations rebuilds an expired entry inside Redis. All requests miss together and queue at Redis, each waiting
// for the network.
func (s *Service) Recommendations(ctx context.Context, customer string) ([]byte, error) {
	return inSpan(ctx, "recommendations", func(ctx context.Context) ([]byte, error) {
		key := "recommendations:" + customer
		page, hit, err := s.cache.Get(ctx, key)
		if hit || err != nil {
			return page, err
		}
		ranked, err := s.cache.RankRecommendations(ctx, customer)
		if err != nil {
			return nil, err
		}
		page, err = json.Marshal(ranked)
		if err != nil {
			return nil, fmt.Errorf("encoding recommendations: %w", err)
		}
		return page, s.cache.Set(ctx, key, page, recommendationsTTL)
	})
}

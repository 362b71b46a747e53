// Package cache keeps short-lived copies of pages in Redis. Spans come from redisotel.
package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/extra/redisotel/v9"
	"github.com/redis/go-redis/v9"
)

const (
	poolSize = 32

	// bestSellers and trending are sorted sets large enough that their union keeps Redis busy for milliseconds.
	bestSellers      = "scores:best-sellers"
	trending         = "scores:trending"
	scoredProducts   = 6000
	recommendedCount = 10
)

// Cache is a connected Redis client.
type Cache struct {
	redis *redis.Client
}

// Open connects, seeds the two score sets and then instruments the client, so that seeding makes no spans.
func Open(ctx context.Context, address string) (*Cache, error) {
	client := redis.NewClient(&redis.Options{
		Addr:         address,
		PoolSize:     poolSize,
		MinIdleConns: poolSize / 2,
		ReadTimeout:  5 * time.Second,
	})
	if err := seedScores(ctx, client); err != nil {
		return nil, fmt.Errorf("seeding redis at %s: %w", address, errors.Join(err, client.Close()))
	}
	if err := redisotel.InstrumentTracing(client); err != nil {
		return nil, fmt.Errorf("instrumenting redis: %w", errors.Join(err, client.Close()))
	}
	return &Cache{redis: client}, nil
}

// Close closes every connection.
func (c *Cache) Close() error { return c.redis.Close() }

// Get returns the value of key; the flag is false on a miss.
func (c *Cache) Get(ctx context.Context, key string) ([]byte, bool, error) {
	value, err := c.redis.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	return value, err == nil, err
}

// Set stores value under key until ttl has passed.
func (c *Cache) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return c.redis.Set(ctx, key, value, ttl).Err()
}

// RankRecommendations merges the two score sets inside Redis and reads the head of the result.
// Redis is single-threaded: concurrent callers queue there, and each waits on its own connection.
func (c *Cache) RankRecommendations(ctx context.Context, customer string) ([]string, error) {
	ranking := "ranking:" + customer
	if err := c.redis.ZUnionStore(ctx, ranking, &redis.ZStore{Keys: []string{bestSellers, trending}}).Err(); err != nil {
		return nil, err
	}
	return c.redis.ZRevRange(ctx, ranking, 0, recommendedCount-1).Result()
}

func seedScores(ctx context.Context, client *redis.Client) error {
	const batch = 1000
	for start := 0; start < scoredProducts; start += batch {
		pipe := client.Pipeline()
		for i := start; i < start+batch; i++ {
			member := fmt.Sprintf("product-%05d", i)
			pipe.ZAdd(ctx, bestSellers, redis.Z{Score: float64(i * 31 % scoredProducts), Member: member})
			pipe.ZAdd(ctx, trending, redis.Z{Score: float64(i * 17 % scoredProducts), Member: member})
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

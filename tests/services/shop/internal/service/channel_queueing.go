package service

import (
	"context"
	"time"
)

const thumbnailCost = 6 * time.Millisecond

// Thumbnail renders on the only thumbnail worker. The request waits in a plain channel receive, not in a select, so a
// client that goes away is noticed only afterwards.
func (s *Service) Thumbnail(ctx context.Context) error {
	_, err := inSpan(ctx, "thumbnail", func(ctx context.Context) (struct{}, error) {
		done, err := s.thumbnails.Submit(func() {
			_, span := tracer.Start(ctx, "render thumbnail")
			defer span.End()
			compute(thumbnailCost)
		})
		if err != nil {
			return struct{}{}, err
		}
		<-done
		return struct{}{}, ctx.Err()
	})
	return err
}

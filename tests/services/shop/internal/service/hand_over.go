package service

import (
	"context"
	"fmt"
	"time"
)

const mailDelay = 2 * time.Millisecond

// SendConfirmation hands its span over: the request starts it, the only mail worker ends it when the mail has gone. The
// request is answered meanwhile.
func (s *Service) SendConfirmation(ctx context.Context) error {
	_, span := tracer.Start(context.WithoutCancel(ctx), "send confirmation")
	_, err := s.mails.Submit(func() {
		defer span.End()
		time.Sleep(mailDelay)
	})
	if err != nil {
		span.End()
		return fmt.Errorf("queueing the mail: %w", err)
	}
	return nil
}

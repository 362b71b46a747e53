package service

import (
	"context"
	"sync"
	"time"
)

const auditHold = 40 * time.Millisecond

type inventory struct {
	mutex    sync.Mutex
	reserved int
}

// Reserve needs the inventory's mutex for nanoseconds, and waits for whoever holds it for longer.
func (s *Service) Reserve(ctx context.Context) (int, error) {
	return inSpan(ctx, "reserve", func(context.Context) (int, error) {
		s.inventory.mutex.Lock()
		defer s.inventory.mutex.Unlock()
		s.inventory.reserved++
		return s.inventory.reserved, nil
	})
}

// AuditStock sleeps with the inventory's mutex held, as code does that talks to a slow device under a lock.
func (s *Service) AuditStock(ctx context.Context) error {
	_, err := inSpan(ctx, "audit stock", func(context.Context) (struct{}, error) {
		s.inventory.mutex.Lock()
		defer s.inventory.mutex.Unlock()
		time.Sleep(auditHold)
		return struct{}{}, nil
	})
	return err
}

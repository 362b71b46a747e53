package service

import (
	"context"
	"time"
)

const ledgerBusy = 50 * time.Millisecond

// Invoices asks a quick question through the ledger's single connection, which [Service.CloseLedger] keeps busy.
// database/sql waits for a free connection in a select.
func (s *Service) Invoices(ctx context.Context, customer string) (int, error) {
	return inSpan(ctx, "invoices", func(ctx context.Context) (int, error) {
		return s.store.CountInvoices(ctx, customer)
	})
}

// CloseLedger holds the ledger's connection.
func (s *Service) CloseLedger(ctx context.Context) error {
	_, err := inSpan(ctx, "close ledger", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.store.CloseLedger(ctx, ledgerBusy)
	})
	return err
}

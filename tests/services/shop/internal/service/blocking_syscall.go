package service

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

const printTime = 30 * time.Millisecond

// PrintReceipt waits for a printer's answer on a blocking file descriptor, which the network poller does not know: the
// goroutine is in a system call and keeps its thread.
func (s *Service) PrintReceipt(ctx context.Context) error {
	_, err := inSpan(ctx, "print receipt", func(context.Context) (struct{}, error) {
		var printer [2]int
		if err := syscall.Pipe(printer[:]); err != nil {
			return struct{}{}, fmt.Errorf("opening the printer: %w", err)
		}
		defer syscall.Close(printer[0])
		time.AfterFunc(printTime, func() { syscall.Close(printer[1]) }) // Its end of file is the answer.
		var answer [1]byte
		if _, err := syscall.Read(printer[0], answer[:]); err != nil {
			return struct{}{}, fmt.Errorf("reading the printer's answer: %w", err)
		}
		return struct{}{}, nil
	})
	return err
}

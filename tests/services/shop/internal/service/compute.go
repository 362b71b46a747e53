package service

import (
	"crypto/sha256"
	"time"
)

// compute keeps the calling goroutine on a CPU for about d.
func compute(d time.Duration) [sha256.Size]byte {
	var digest [sha256.Size]byte
	for start := time.Now(); time.Since(start) < d; {
		for range 32 {
			digest = sha256.Sum256(digest[:])
		}
	}
	return digest
}

//go:build !go1.23

package main

import "time"

// coroutine stands for what Go 1.23 brought.
func coroutine() error {
	time.Sleep(5 * time.Millisecond)
	return nil
}

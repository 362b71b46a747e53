// Package bubble runs goroutines on a clock of their own (testing/synctest). Its test binary records itself:
//
//	bubble -test.trace FILE
package bubble

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := false
		go func() {
			time.Sleep(time.Hour)
			done = true
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		if !done {
			t.Error("an hour has passed for both or for none")
		}
	})
}

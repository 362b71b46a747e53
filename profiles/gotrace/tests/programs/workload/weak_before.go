//go:build !go1.23

package main

import (
	"sync"
	"time"
)

func weakPointers(*sync.WaitGroup, time.Time) {}

package main

import "sync"

// pairs of goroutines that play at the same time.
const pairs = 2

// pingpong lets pairs of goroutines hand a value to each other until stop is closed.
func pingpong(stop <-chan struct{}) error {
	var playing sync.WaitGroup
	for range pairs {
		playing.Go(func() { play(stop) })
	}
	playing.Wait()
	return nil
}

func play(stop <-chan struct{}) {
	ping, pong := make(chan int), make(chan int)
	go func() {
		defer close(pong)
		for value := range ping {
			pong <- value + 1
		}
	}()
	defer close(ping)
	for {
		select {
		case <-stop:
			return
		default:
		}
		for range 1000 {
			ping <- 1
			<-pong
		}
	}
}

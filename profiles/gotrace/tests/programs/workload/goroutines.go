package main

import (
	"runtime"
	"sync"
	"time"
)

func holdMutex(mutex *sync.Mutex) error {
	mutex.Lock()
	spin(50 * time.Microsecond)
	time.Sleep(200 * time.Microsecond)
	mutex.Unlock()
	return nil
}

func readAndWrite(rw *sync.RWMutex) error {
	rw.RLock()
	time.Sleep(100 * time.Microsecond)
	rw.RUnlock()
	rw.Lock()
	time.Sleep(300 * time.Microsecond)
	rw.Unlock()
	return nil
}

func waitForCondition() error {
	var mutex sync.Mutex
	condition := sync.NewCond(&mutex)
	done := false
	time.AfterFunc(2*time.Millisecond, func() {
		mutex.Lock()
		done = true
		mutex.Unlock()
		condition.Broadcast()
	})
	mutex.Lock()
	for !done {
		condition.Wait()
	}
	mutex.Unlock()
	return nil
}

// passValues starts goroutines that live shortly and hand values over an unbuffered channel.
func passValues() error {
	values := make(chan int)
	var done sync.WaitGroup
	for range 4 {
		done.Add(1)
		go func() {
			defer done.Done()
			for i := range 20 {
				values <- i
			}
		}()
	}
	go func() { done.Wait(); close(values) }()
	for range values {
		spin(5 * time.Microsecond)
	}
	time.Sleep(5 * time.Millisecond)
	return nil
}

func selectLoop() error {
	never := make(chan int)
	timeout := time.After(2 * time.Millisecond)
	select {
	case <-never:
	case <-timeout:
	}
	return nil
}

// spinAndYield runs longer than the scheduler allows, so that it is preempted, and yields.
func spinAndYield() error {
	spin(12 * time.Millisecond)
	runtime.Gosched()
	time.Sleep(3 * time.Millisecond)
	return nil
}

// goAway starts goroutines that never go on, and one that ends through Goexit.
func goAway() error {
	var nothing chan int
	go func() { <-nothing }()
	go func() { runtime.Goexit() }()
	time.Sleep(20 * time.Millisecond)
	return nil
}

var sink uint64

func spin(length time.Duration) {
	end := time.Now().Add(length)
	for time.Now().Before(end) {
		for i := range uint64(500) {
			sink += i * i
		}
	}
}

func pingPong(length time.Duration) error {
	ping, pong := make(chan int), make(chan int)
	go func() {
		defer close(pong)
		for i := range ping {
			pong <- i + 1
		}
	}()
	for end := time.Now().Add(length); time.Now().Before(end); {
		for range 1000 {
			ping <- 1
			<-pong
		}
	}
	close(ping)
	<-pong
	return nil
}

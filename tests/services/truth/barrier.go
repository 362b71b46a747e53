package main

import (
	"fmt"
	"sync"
	"syscall"
)

// barrier keeps one goroutine waiting until another opens it, once.
type barrier struct {
	// state is that of the goroutine that waits.
	state string
	pass  func()
	open  func()
}

// newBarrier makes a closed one.
func newBarrier(cause string) (*barrier, error) {
	switch cause {
	case "mutex":
		var mutex sync.Mutex
		mutex.Lock()
		return &barrier{"mutex", mutex.Lock, mutex.Unlock}, nil
	case "rwmutex_read":
		var mutex sync.RWMutex
		mutex.Lock()
		return &barrier{"rwmutex/read", mutex.RLock, mutex.Unlock}, nil
	case "rwmutex_write":
		var mutex sync.RWMutex
		mutex.RLock()
		return &barrier{"rwmutex/write", mutex.Lock, mutex.RUnlock}, nil
	case "empty_channel":
		c := make(chan int, 1)
		return &barrier{"channel/recv", func() { <-c }, func() { c <- 1 }}, nil
	case "full_channel":
		c := make(chan int, 1)
		c <- 1
		return &barrier{"channel/send", func() { c <- 2 }, func() { <-c }}, nil
	case "select":
		c, never := make(chan int, 1), make(chan int)
		pass := func() {
			select {
			case <-c:
			case <-never:
			}
		}
		return &barrier{"select", pass, func() { c <- 1 }}, nil
	case "cond":
		return condition(), nil
	case "waitgroup":
		var group sync.WaitGroup
		group.Add(1)
		return &barrier{"waitgroup", group.Wait, group.Done}, nil
	case "pipe":
		return pipe()
	}
	return nil, fmt.Errorf("no cause is called %q", cause)
}

func condition() *barrier {
	var mutex sync.Mutex
	isOpen, opened := false, sync.NewCond(&mutex)
	pass := func() {
		mutex.Lock()
		defer mutex.Unlock()
		for !isOpen {
			opened.Wait()
		}
	}
	open := func() {
		mutex.Lock()
		isOpen = true
		mutex.Unlock()
		opened.Signal()
	}
	return &barrier{"cond", pass, open}
}

// pipe is one that the network poller does not know: who reads from it keeps a thread.
func pipe() (*barrier, error) {
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		return nil, fmt.Errorf("opening a pipe: %w", err)
	}
	pass := func() {
		var end [1]byte
		for {
			if _, err := syscall.Read(ends[0], end[:]); err != syscall.EINTR {
				break
			}
		}
		syscall.Close(ends[0])
	}
	return &barrier{"syscall", pass, func() { syscall.Close(ends[1]) }}, nil
}

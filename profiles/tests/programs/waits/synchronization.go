package main

import (
	"sync"
	"time"
)

var syncWaits = []func(){
	mutex, rwMutexRead, rwMutexWriteAfterReader, rwMutexWriteAfterWriter, waitGroup, once, onceValue, cond,
}

func mutex() {
	var held sync.Mutex
	held.Lock()
	after(held.Unlock)
	held.Lock()
}

func rwMutexRead() {
	var held sync.RWMutex
	held.Lock()
	after(held.Unlock)
	held.RLock()
}

func rwMutexWriteAfterReader() {
	var held sync.RWMutex
	held.RLock()
	after(held.RUnlock)
	held.Lock()
}

func rwMutexWriteAfterWriter() {
	var held sync.RWMutex
	held.Lock()
	after(held.Unlock)
	held.Lock()
}

func waitGroup() {
	var group sync.WaitGroup
	group.Add(1)
	after(group.Done)
	group.Wait()
}

func once() {
	var first sync.Once
	begun := make(chan struct{})
	go first.Do(func() { close(begun); time.Sleep(hold) })
	<-begun
	first.Do(func() {})
}

func onceValue() {
	begun := make(chan struct{})
	value := sync.OnceValue(func() int { close(begun); time.Sleep(hold); return 1 })
	go value()
	<-begun
	value()
}

func cond() {
	var held sync.Mutex
	ready := sync.NewCond(&held)
	held.Lock()
	after(ready.Signal)
	ready.Wait()
}

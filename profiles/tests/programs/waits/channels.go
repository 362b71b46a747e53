package main

import (
	"context"
	"io"
	"time"
)

var channelWaits = []func(){
	chanSend, chanReceive, chanRange, selectTwo, selectOne, sleep, timerChannel, timerSelect, contextSelect, contextTimeout,
	foreignContext, pipeRead, pipeWrite, nilReceive, nilSend, emptySelect,
}

func chanSend() {
	values := make(chan int)
	after(func() { <-values })
	values <- 1
}

func chanReceive() {
	values := make(chan int)
	after(func() { values <- 1 })
	<-values
}

func chanRange() {
	values := make(chan int)
	after(func() { close(values) })
	for range values {
	}
}

func selectTwo() {
	never, values := make(chan int), make(chan int)
	after(func() { values <- 1 })
	select {
	case <-never:
	case <-values:
	}
}

// selectOne is what the compiler turns into a plain receive.
func selectOne() {
	values := make(chan int)
	after(func() { values <- 1 })
	select {
	case <-values:
	}
}

func sleep() { time.Sleep(hold) }

func timerChannel() { <-time.After(hold) }

func timerSelect() {
	never := make(chan int)
	select {
	case <-never:
	case <-time.After(hold):
	}
}

func contextSelect() {
	ctx, cancel := context.WithCancel(context.Background())
	after(cancel)
	never := make(chan int)
	select {
	case <-never:
	case <-ctx.Done():
	}
}

// contextTimeout waits for a timer, but a goroutine closes the channel on the timer's behalf.
func contextTimeout() {
	ctx, cancel := context.WithTimeout(context.Background(), hold)
	defer cancel()
	<-ctx.Done()
}

// foreign is a context of a type that package context does not know, so that it starts a goroutine to watch it.
type foreign struct {
	context.Context
	done chan struct{}
}

func (f foreign) Done() <-chan struct{} { return f.done }

func foreignContext() {
	_, cancel := context.WithCancel(foreign{context.Background(), make(chan struct{})})
	time.Sleep(hold)
	cancel()
}

func pipeRead() {
	reader, writer := io.Pipe()
	after(func() { writer.Write([]byte{1}) })
	must(reader.Read(make([]byte, 1)))
}

func pipeWrite() {
	reader, writer := io.Pipe()
	after(func() { reader.Read(make([]byte, 1)) })
	must(writer.Write([]byte{1}))
}

func nilReceive() {
	go nilReceiver()
	time.Sleep(hold)
}

func nilReceiver() { var never chan int; <-never }

func nilSend() {
	go nilSender()
	time.Sleep(hold)
}

func nilSender() { var never chan int; never <- 1 }

func emptySelect() {
	go emptySelector()
	time.Sleep(hold)
}

func emptySelector() { select {} }

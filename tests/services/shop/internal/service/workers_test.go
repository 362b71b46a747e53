package service

import (
	"errors"
	"testing"
)

func TestWorkersRefuseWhatTheQueueCannotHold(t *testing.T) {
	workers := StartWorkers(1, 1)
	started, release := make(chan struct{}), make(chan struct{})
	busy, err := workers.Submit(func() { close(started); <-release })
	if err != nil {
		t.Fatal(err)
	}
	<-started
	waiting, err := workers.Submit(func() {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := workers.Submit(func() {}); !errors.Is(err, ErrQueueFull) {
		t.Errorf("got %v, want %v", err, ErrQueueFull)
	}
	close(release)
	<-busy
	<-waiting
	workers.Close()
}

func TestClosingWorkersFinishesWhatWasAccepted(t *testing.T) {
	workers := StartWorkers(2, 8)
	ran := make(chan struct{}, 8)
	for range 8 {
		if _, err := workers.Submit(func() { ran <- struct{}{} }); err != nil {
			t.Fatal(err)
		}
	}
	workers.Close()
	if len(ran) != 8 {
		t.Errorf("%d of 8 accepted tasks ran", len(ran))
	}
}
